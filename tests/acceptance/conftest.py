import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.product import Product


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place for the product's data that PostgreSQL's account can reach under root."""
    path = Path(tempfile.mkdtemp(prefix="quaver-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    """The product, running on data of its own."""
    path = Path(tempfile.mkdtemp(prefix="quaver-"))
    path.chmod(0o755)
    with Product(path) as product:
        yield product
    shutil.rmtree(path)
