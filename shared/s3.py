"""Uploads in a bucket, each in pieces: objects of their own (`shared/pieces.py`).

Not S3's own multipart uploads: those have no part below 5 MiB but the last, so that what has come
over a slow line could not be kept; they refuse no part because another request has written it; and
nobody can read them before they are complete. Of what is left of them a listing of objects shows
nothing.

Who goes on with an upload writes its next piece only if there is none: of two at the same offset
one goes on. Who deletes an upload takes `begun` away first, and lists the rest then; who has
written something looks for `begun` afterwards. So one of them always sees the other, and nothing
stays.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from typing import BinaryIO
from urllib.parse import unquote, urlsplit
from uuid import UUID

from shared import crashpoints, errors, pieces
from shared.bucket import Bucket, Entry
from shared.pieces import BEGUN, END, Found, Piece
from shared.store import PROBE_BYTES

PROBE = "probe"

LEAST_PIECE_BYTES, MOST_PIECE_BYTES = 1 << 20, 4 << 20
PIECES = 64
"""A piece is a 64th of what came before it, within those bounds: an upload of 2 GiB has 600, which
is one page of a listing, and many short ones that arrive at once need little memory each."""

HELD_SECONDS = 1
"""How long what has come of a resumable upload may wait for more."""

AHEAD_BYTES = 1 << 20
HEADER_BYTES = 1 << 14
"""Read ahead where little more than a WAV's header is wanted."""


class S3Store:
    """Uploads below a prefix of a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    @classmethod
    def of_url(cls, url: str) -> "S3Store":
        """For a URL of the form `s3://bucket/prefix`."""
        parts = urlsplit(url)
        prefix = unquote(parts.path).strip("/")
        return cls(Bucket(parts.netloc, f"{prefix}/" if prefix else ""))

    def create(self, upload_id: UUID, *, expected_bytes: int = 0) -> "S3Upload":  # noqa: ARG002
        # A bucket does not tell how much room it has.
        return S3Upload(self, self._bucket, upload_id)

    def begin(self, upload_id: UUID, *, expected_bytes: int) -> None:  # noqa: ARG002 - As above.
        self._bucket.put(pieces.key(upload_id, BEGUN), b"")

    def resume(self, upload_id: UUID) -> "ResumedS3Upload":
        found = pieces.find(self._bucket, upload_id)
        if not found.is_begun:
            raise FileNotFoundError(upload_id)
        return ResumedS3Upload(self, self._bucket, upload_id, found)

    def open(self, upload_id: UUID) -> BinaryIO:
        found = pieces.find(self._bucket, upload_id)
        if not found.is_whole:
            raise FileNotFoundError(upload_id)
        return pieces.read(self._bucket, found.pieces, ahead_bytes=AHEAD_BYTES)

    def delete(self, upload_id: UUID) -> None:
        self._bucket.delete([pieces.key(upload_id, BEGUN)])
        self._bucket.delete(entry.key for entry in self._bucket.entries(pieces.key(upload_id, "")))

    def ages(self) -> Iterator[tuple[UUID, float]]:
        for folder, entries in groupby(self._bucket.entries(), _folder):
            with suppress(ValueError):  # There may be others.
                yield UUID(folder), min(entry.age_seconds for entry in entries)

    def check(self) -> None:
        # The same key for all: two checks at once do each other no harm, and what one leaves that
        # is killed, the next one deletes.
        self._bucket.put(PROBE, bytes(PROBE_BYTES))
        self._bucket.delete([PROBE])


class S3Upload:
    """An upload whose bytes are gathered into pieces; a short one becomes a single object."""

    def __init__(self, store: S3Store, bucket: Bucket, upload_id: UUID) -> None:
        self._store = store
        self._bucket = bucket
        self._id = upload_id
        self._pieces: list[Piece] = []
        self._gathered = bytearray()
        self._has_ended = False

    def write(self, block: bytes) -> None:
        self._gathered += block
        if self._is_due():
            self._flush()

    def commit(self) -> None:
        self._end()
        self._has_ended = True
        crashpoints.reach("upload-ended")

    def discard(self) -> None:
        self._gathered.clear()
        if not self._has_ended:
            self._has_ended = True
            with suppress(errors.QuaverError):  # The sweep finds what cannot be deleted now.
                self._store.delete(self._id)

    def _is_due(self) -> bool:
        wanted_bytes = pieces.stop(self._pieces) // PIECES
        wanted_bytes = max(LEAST_PIECE_BYTES, min(wanted_bytes, MOST_PIECE_BYTES))
        return len(self._gathered) >= wanted_bytes

    def _flush(self, suffix: str = "") -> None:
        """Write what is gathered as the next piece.

        It is not tried again: whoever sends the upload is told that it failed.
        """
        body, self._gathered = self._gathered, bytearray()
        start = pieces.stop(self._pieces)
        key = pieces.key(self._id, pieces.name_at(start) + suffix)
        self._put(key, body)
        self._pieces.append(Piece(key, start, len(body)))
        if not suffix:
            crashpoints.reach("piece-stored")

    def _put(self, key: str, body: bytearray) -> None:
        self._bucket.put(key, body)

    def _end(self) -> None:
        self._flush(END)
        if len(self._pieces) > 1 and not pieces.find(self._bucket, self._id).is_whole:
            raise errors.UploadTooSlow


class ResumedS3Upload(S3Upload):
    """An upload of which a piece is written only if nobody else has written one in its place."""

    def __init__(self, store: S3Store, bucket: Bucket, upload_id: UUID, found: Found) -> None:
        super().__init__(store, bucket, upload_id)
        self._pieces = found.pieces
        self._flushed_at = time.monotonic()
        self.written_at = time.time() - found.age_seconds
        self.size_bytes = pieces.stop(self._pieces)
        self.file = pieces.read(bucket, self._pieces, ahead_bytes=HEADER_BYTES)

    def write(self, block: bytes) -> None:
        self.size_bytes += len(block)
        super().write(block)

    def sync(self) -> None:
        if self._gathered:
            self._flush()

    def close(self) -> None:
        """However the request ends: what has come is kept, if it can be."""
        with suppress(errors.QuaverError):
            self.sync()
        self.file.close()

    def _is_due(self) -> bool:
        return super()._is_due() or time.monotonic() - self._flushed_at >= HELD_SECONDS

    def _put(self, key: str, body: bytearray) -> None:
        if not self._bucket.put_once(key, body):
            raise errors.OffsetConflict
        self._require_begun(key)
        self._flushed_at = time.monotonic()
        self.written_at = time.time()

    def _end(self) -> None:
        """By an object of its own: all that see the last piece may commit, whoever wrote it."""
        self.sync()
        key = pieces.key(self._id, pieces.name_at(pieces.stop(self._pieces)) + END)
        self._bucket.put(key, b"")
        self._require_begun(key)

    def _require_begun(self, written: str) -> None:
        """Take back what was written if the upload is deleted. Raises: UploadNotFound."""
        if not self._bucket.has(pieces.key(self._id, BEGUN)):
            self._bucket.delete([written])
            raise errors.UploadNotFound


def _folder(entry: Entry) -> str:
    return entry.key.partition("/")[0]
