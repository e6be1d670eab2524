from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import folders
from tests.acceptance.product import Product


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place for the product's data."""
    with folders.temporary() as path:
        yield path


@pytest.fixture(scope="package")
def product() -> Iterator[Product]:
    """The product, running on data of its own."""
    with folders.temporary() as path, Product(path) as product:
        yield product
