"""Folders for data of which PostgreSQL's are a part."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def temporary() -> Iterator[Path]:
    """An empty folder, which PostgreSQL's account can reach; pytest's own it cannot, under root."""
    path = Path(tempfile.mkdtemp(prefix="quaver-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
