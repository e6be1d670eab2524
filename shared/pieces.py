"""The objects that an upload in a bucket is made of, and how they are read as one file.

::

    <id>/begun                      a resumable upload has begun, and is not deleted
    <id>/00000000000000000000       its first piece; the name is the offset of its first byte
    <id>/00000000000001048576       the next one
    <id>/00000000000001572864.end   the last one, which may be empty: the upload is committed

None is ever changed, and one listing shows them all.
"""

from bisect import bisect_right
from collections.abc import Sequence
from io import SEEK_CUR, SEEK_END, SEEK_SET, BufferedReader, RawIOBase
from typing import Any, BinaryIO, NamedTuple, cast
from uuid import UUID

from shared import errors
from shared.bucket import Bucket

BEGUN, END = "begun", ".end"


class Piece(NamedTuple):
    """A part of an upload's bytes."""

    key: str
    start: int
    size_bytes: int

    @property
    def stop(self) -> int:
        return self.start + self.size_bytes


class Found(NamedTuple):
    """What a listing shows of an upload."""

    pieces: list[Piece]
    """One behind the other, from the first byte on."""
    is_begun: bool
    is_whole: bool
    age_seconds: float
    """Since anything of it was written."""


def key(upload_id: UUID, name: str) -> str:
    return f"{upload_id}/{name}"


def name_at(offset: int) -> str:
    """Of the piece that begins there. Names sort as their offsets do."""
    return f"{offset:020}"


def find(bucket: Bucket, upload_id: UUID) -> Found:
    """What there is of an upload, which may be nothing."""
    pieces: list[Piece] = []
    names, ages = set[str](), []
    for entry in bucket.entries(key(upload_id, "")):
        name = entry.key.rpartition("/")[2]
        names.add(name)
        ages.append(entry.age_seconds)
        if name.removesuffix(END) == name_at(end := stop(pieces)):
            pieces.append(Piece(entry.key, end, entry.size_bytes))
    is_whole = bool(pieces) and pieces[-1].key.endswith(END)
    return Found(pieces, BEGUN in names, is_whole, min(ages, default=0))


def stop(pieces: Sequence[Piece]) -> int:
    """How many bytes they are."""
    return pieces[-1].stop if pieces else 0


def read(bucket: Bucket, pieces: Sequence[Piece], *, ahead_bytes: int) -> BinaryIO:
    """The bytes of pieces as a file, which grows as they do. It asks for so many at a time."""
    return cast(BinaryIO, BufferedReader(_Pieces(bucket, pieces), ahead_bytes))


class _Pieces(RawIOBase):
    """A file of which each read is one request, for no more than what is left of a piece."""

    def __init__(self, bucket: Bucket, pieces: Sequence[Piece]) -> None:
        self._bucket = bucket
        self._pieces = pieces
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        base = {SEEK_SET: 0, SEEK_CUR: self._position, SEEK_END: stop(self._pieces)}[whence]
        if base + offset < 0:
            raise ValueError(f"there is nothing {-base - offset} bytes before the beginning")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Raises: UploadNotFound: it is deleted."""
        if self._position >= stop(self._pieces):
            return 0
        piece = self._pieces[bisect_right(self._pieces, self._position, key=_start) - 1]
        start = self._position - piece.start
        try:
            data = self._bucket.read(piece.key, start, min(len(buffer), piece.size_bytes - start))
        except FileNotFoundError:
            raise errors.UploadNotFound from None
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _start(piece: Piece) -> int:
    return piece.start
