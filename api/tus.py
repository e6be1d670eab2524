"""Taking in a WAV over as many requests as it takes, as the tus protocol has it.

https://tus.io/protocols/resumable-upload, version 1.0.0. What a request brings is added to what is
in the store; the WAV is checked on the way as any other is, for the reader of its header begins
each time with what is stored, of which it reads next to nothing.
"""

import base64
import binascii
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import anyio
import anyio.to_thread
from fastapi import Request

from api import negotiation, uploads
from api.uploads import WRITE_BYTES, File, Limits
from shared import errors
from shared.store import ResumedUpload, UploadStore
from shared.wav import Wav

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,expiration,termination"
MEDIA_TYPE = "application/offset+octet-stream"

LONGEST_METADATA = 8 * 1024

REFUSALS = (
    errors.NotAWav,
    errors.UnsupportedWavCodec,
    errors.InvalidWav,
    errors.UploadTooLarge,
)
"""What is said of bytes that will never be a recording here."""

WRITE_SECONDS = 1
"""What came so long ago is written, however little it is: over a slow line it took its time, and
another connection is to go on behind it."""


@dataclass(frozen=True)
class Announcement:
    """What a client says of an upload before it begins."""

    length_bytes: int
    metadata: str
    """The header `Upload-Metadata`, which can be parsed."""

    @classmethod
    def of(cls, request: Request, limits: Limits) -> "Announcement":
        """Raises: InvalidRequest, MalformedRequest, NotAWav, UploadTooLarge."""
        if "upload-defer-length" in request.headers:
            raise _invalid("Upload-Defer-Length", "is not supported: send Upload-Length")
        length_bytes = number(request, "Upload-Length")
        limits.check_size(length_bytes)
        if not length_bytes:
            raise errors.NotAWav
        metadata = request.headers.get("upload-metadata", "")
        parse_metadata(metadata)
        return cls(length_bytes, metadata)


def check_media_type(request: Request) -> None:
    """Raises: UnsupportedMediaType."""
    if negotiation.media_type(request) != MEDIA_TYPE:
        raise errors.UnsupportedMediaType(f"The body's Content-Type must be {MEDIA_TYPE}.")


def number(request: Request, header: str) -> int:
    """The number of bytes that a header names. Raises: InvalidRequest."""
    value = request.headers.get(header, "")
    if not (value.isascii() and value.isdigit() and len(value) <= len(str(1 << 63))):
        raise _invalid(header, "must be a number of bytes")
    return int(value)


def _invalid(header: str, problem: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(
        f"{header}: {problem}.", errors=[{"pointer": f"#/{header}", "detail": problem}]
    )


def parse_metadata(header: str) -> dict[str, str]:
    """Keys and values of an `Upload-Metadata` header. Raises: MalformedRequest."""
    if len(header) > LONGEST_METADATA or not header.isascii():
        raise errors.MalformedRequest(
            f"Upload-Metadata must have at most {LONGEST_METADATA} characters, of ASCII."
        )
    pairs = (pair.strip().partition(" ") for pair in header.split(",") if pair.strip())
    try:
        return {key: base64.b64decode(value, validate=True).decode() for key, _, value in pairs}
    except (binascii.Error, UnicodeDecodeError):
        raise errors.MalformedRequest(
            "Upload-Metadata must be pairs of a key and a text in Base64, with commas between."
        ) from None


@dataclass(frozen=True)
class Addition:
    """What a request brings."""

    offset: int
    announced_bytes: int
    """Size of the body; 0 if the client does not say."""
    blocks: AsyncIterator[bytes]

    @classmethod
    def of(cls, request: Request, offset: int, limits: Limits) -> "Addition":
        """Raises: UnsupportedMediaType."""
        check_media_type(request)
        announced_bytes = uploads.content_length(request) or 0
        return cls(offset, announced_bytes, uploads.body(request, limits))

    def check(self, offset: int, length_bytes: int) -> None:
        """Raises: OffsetConflict, UploadTooLarge, if it does not fit what has come so far."""
        if self.offset != offset:
            raise errors.OffsetConflict(
                f"The upload's offset is {offset}, not {self.offset}; go on from there."
            )
        if offset + self.announced_bytes > length_bytes:
            raise errors.UploadTooLarge(
                f"The upload was announced with {length_bytes} bytes, and this body goes beyond."
            )

    async def within(self, room_bytes: int) -> AsyncIterator[bytes]:
        """The blocks. Raises: MalformedRequest: the client went away, or sends more than fits."""
        async for block in self.blocks:
            room_bytes -= len(block)
            if room_bytes < 0:
                raise errors.MalformedRequest("The body goes beyond the announced length.")
            yield block


@asynccontextmanager
async def resumed(
    store: UploadStore, upload_id: UUID, *, expiry_seconds: float
) -> AsyncIterator[ResumedUpload]:
    """An upload to go on with. Raises: UploadNotFound, also if it has expired."""
    try:
        upload = await anyio.to_thread.run_sync(store.resume, upload_id)
    except FileNotFoundError:
        raise errors.UploadNotFound from None
    try:
        if upload.written_at + expiry_seconds < time.time():
            raise errors.UploadNotFound
        yield upload
    finally:
        # It may be the last one to hold a deleted gigabyte, which takes its time to be freed.
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(upload.close)


async def receive(
    upload: ResumedUpload, length_bytes: int, addition: Addition | None, limits: Limits
) -> Wav | None:
    """Add what a request brings, if anything; the WAV, once the upload is whole.

    What has come is durable on return, and stays when the client goes away. An upload that is
    refused as a WAV is deleted.

    Raises:
        OffsetConflict: another request has added to it.
        UploadNotFound: it was deleted meanwhile.
        UploadTooLarge, MalformedRequest, NotAWav, UnsupportedWavCodec, InvalidWav, StorageFull,
        StorageUnavailable.
    """
    if addition is not None:
        addition.check(upload.size_bytes, length_bytes)
    file = File(lambda: upload, limits)
    try:
        await file.resume(upload)
        if addition is not None:
            await _fill(file, addition.within(length_bytes - upload.size_bytes))
        if upload.size_bytes == length_bytes:
            return await file.close()
    except REFUSALS:
        await anyio.to_thread.run_sync(file.discard)
        raise
    await anyio.to_thread.run_sync(upload.sync)
    return None


async def _fill(file: File, blocks: AsyncIterator[bytes]) -> None:
    """Raises: MalformedRequest, when all that has come is written."""
    due = time.monotonic() + WRITE_SECONDS
    try:
        async for block in blocks:
            file.feed(block)
            is_due = time.monotonic() >= due
            if is_due:
                due = time.monotonic() + WRITE_SECONDS
            await file.drain(at_least=1 if is_due else WRITE_BYTES)
    except errors.UploadTooSlow:
        # A refusal would make the client give up, and it is the one with the bad line. It is told
        # how far it has come, and may go on.
        pass
    except errors.MalformedRequest:
        await file.drain(at_least=1)
        raise
    await file.drain(at_least=1)
