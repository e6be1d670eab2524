"""Where uploads wait for their conversion: a place that every API and every worker can reach."""

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlsplit
from uuid import UUID

from shared import crashpoints, errors

PART = ".part"
PROBE_BYTES = 64 * 1024
"""As many as a recording of a second has: where one byte fits, that may be all."""


class Upload(Protocol):
    """An upload that is arriving."""

    def write(self, block: bytes) -> None:
        """Append bytes. Raises: StorageFull."""

    def commit(self) -> None:
        """Make it durable and visible under its id.

        Raises:
            StorageFull: there is no room for it.
            UploadTooSlow: it took so long that it was cleared away as abandoned.
        """

    def discard(self) -> None:
        """Leave nothing behind; no effect after `commit`."""


class ResumedUpload(Upload, Protocol):
    """An upload that arrives over many requests, of which several may be open at a time.

    A `write` appends only where nobody else has appended since this was opened, or else it raises
    OffsetConflict, or the next `sync` or `commit` does. So a connection that is dead, and of which
    nobody knows it yet, holds up nobody who goes on over another one; and what is there never
    changes, it only grows.
    """

    file: BinaryIO
    """What has come before, to be read; it raises UploadNotFound if that is deleted meanwhile."""
    size_bytes: int
    """Of that, and of what was written since."""

    @property
    def written_at(self) -> float:
        """When it was last added to, in seconds since 1970."""

    def sync(self) -> None:
        """Make durable what has come, for all to see. Raises: StorageFull, OffsetConflict."""

    def close(self) -> None:
        """Let others go on with it."""


class UploadStore(Protocol):
    """Keeps uploads by id. Its methods block, and may be called from any thread.

    All raise StorageUnavailable, and so do those of the uploads, where the store can be away.
    """

    def create(self, upload_id: UUID, *, expected_bytes: int = 0) -> Upload:
        """Begin an upload. Raises: StorageFull, also where so much would not fit."""

    def begin(self, upload_id: UUID, *, expected_bytes: int) -> None:
        """Begin an upload that `resume` goes on with. Raises: as `create`."""

    def resume(self, upload_id: UUID) -> ResumedUpload:
        """An upload that has begun, or is committed. Raises: FileNotFoundError."""

    def open(self, upload_id: UUID) -> BinaryIO:
        """The bytes of a committed upload, to be read anywhere. Raises: FileNotFoundError."""

    def delete(self, upload_id: UUID) -> None:
        """Forget an upload; one that is not there is no error."""

    def ages(self) -> Iterator[tuple[UUID, float]]:
        """All uploads, arriving ones included, with the seconds since they were last written."""

    def check(self) -> None:
        """Raises StorageFull, or an OSError, when nothing can be stored here."""


class FolderStore:
    """A folder, which on several machines must be one shared file system."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def create(self, upload_id: UUID, *, expected_bytes: int = 0) -> "FolderUpload":
        # Room is kept for nobody, so it may get full all the same. But what cannot fit is refused
        # before it takes the room that others still have use for.
        if shutil.disk_usage(self._folder).free < expected_bytes:
            raise _full()
        path = self._path(upload_id)
        with storage_errors():
            return FolderUpload(path, _part(path).open("xb"))

    def begin(self, upload_id: UUID, *, expected_bytes: int) -> None:
        self.create(upload_id, expected_bytes=expected_bytes).close()
        with storage_errors():
            _fsync_folder(self._folder)

    def resume(self, upload_id: UUID) -> "ResumedFolderUpload":
        path = self._path(upload_id)
        try:
            file = _part(path).open("r+b", buffering=0)
        except FileNotFoundError:
            file = path.open("r+b", buffering=0)
        return ResumedFolderUpload(path, file)

    def open(self, upload_id: UUID) -> BinaryIO:
        return self._path(upload_id).open("rb")

    def delete(self, upload_id: UUID) -> None:
        path = self._path(upload_id)
        path.unlink(missing_ok=True)
        _part(path).unlink(missing_ok=True)

    def ages(self) -> Iterator[tuple[UUID, float]]:
        now = time.time()
        for entry in self._folder.iterdir():
            # Another process may remove a file at any moment, and the folder may hold others.
            with suppress(FileNotFoundError, ValueError):
                yield UUID(entry.name.removesuffix(PART)), now - entry.stat().st_mtime

    def check(self) -> None:
        # It has no name, or one of its own: two checks at once must not see each other's.
        with storage_errors(), TemporaryFile(dir=self._folder) as probe:
            probe.write(bytes(PROBE_BYTES))

    def _path(self, upload_id: UUID) -> Path:
        return self._folder / str(upload_id)


class FolderUpload:
    """A file `<id>.part` that takes its final name once all its bytes are on disk."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """`path` is the final name."""
        self._path = path
        self.file = file

    def write(self, block: bytes) -> None:
        with storage_errors():
            self._append(block)
        crashpoints.reach("upload-begun")

    def _append(self, block: bytes) -> None:
        self.file.write(block)

    def commit(self) -> None:
        """Data, then name, then folder: after a power cut the name stands for whole data or not at
        all.
        """
        with storage_errors():
            self.file.flush()
            crashpoints.reach("upload-written")
            os.fsync(self.file.fileno())
            self.file.close()
            crashpoints.reach("upload-synced")
            self._rename()
            _fsync_folder(self._path.parent)
        crashpoints.reach("upload-renamed")

    def _rename(self) -> None:
        try:
            _part(self._path).rename(self._path)
        except FileNotFoundError:
            raise errors.UploadTooSlow from None

    def discard(self) -> None:
        with suppress(OSError):  # What could not be flushed is not wanted any more.
            self.file.close()
        _part(self._path).unlink(missing_ok=True)

    def close(self) -> None:
        self.file.close()


class ResumedFolderUpload(FolderUpload):
    """A file that its writers lock for each write alone: who writes first goes on, others stop.

    A process that is killed gives its lock back.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        super().__init__(path, file)
        self.size_bytes = self._status().st_size

    @property
    def written_at(self) -> float:
        return self._status().st_mtime

    def sync(self) -> None:
        with storage_errors():
            os.fsync(self.file.fileno())

    def _append(self, block: bytes) -> None:
        with self._locked():
            self.file.seek(self.size_bytes)
            rest = memoryview(block)
            while rest:
                written = self.file.write(rest)
                self.size_bytes += written
                rest = rest[written:]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Raises: OffsetConflict, UploadNotFound."""
        fcntl.flock(self.file, fcntl.LOCK_EX)
        try:
            status = self._status()
            if not status.st_nlink:
                raise errors.UploadNotFound
            if status.st_size != self.size_bytes:
                raise errors.OffsetConflict
            yield
        finally:
            fcntl.flock(self.file, fcntl.LOCK_UN)

    def _rename(self) -> None:
        """Another request may have done it already, or deleted all."""
        with suppress(FileNotFoundError):
            _part(self._path).rename(self._path)
        if not self._path.exists():
            raise errors.UploadNotFound

    def _status(self) -> os.stat_result:
        return os.fstat(self.file.fileno())


def from_url(url: str) -> UploadStore:
    """The store that a URL such as `file:///srv/uploads` or `s3://bucket/prefix` names."""
    if url.startswith("s3:"):
        # Half a second and 40 MB, for those alone who have a bucket.
        from shared.s3 import S3Store  # noqa: PLC0415

        return S3Store.of_url(url)
    return FolderStore(Path(unquote(urlsplit(url).path)))


def _part(path: Path) -> Path:
    return path.with_name(path.name + PART)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storage_errors() -> Iterator[None]:
    """Raises: StorageFull for what an operating system says of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise _full() from error
        raise


def _full() -> errors.StorageFull:
    return errors.StorageFull(retry_after_seconds=60)
