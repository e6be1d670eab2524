"""Taking in a WAV: streamed to the upload store, checked on the way, refused as early as can be.

No `UploadFile`: it takes in the whole body, without a limit, before anybody has looked at the
credentials or at the first bytes.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

import anyio
import anyio.to_thread
from fastapi import Request
from starlette.requests import ClientDisconnect

from api import forms
from api.credentials import Credentials
from api.forms import OVERHEAD_BYTES
from shared import errors
from shared.store import ResumedUpload, Upload
from shared.wav import Reader, Wav

WRITE_BYTES = 1 << 18
"""Bytes gathered before a thread writes them: a hop to a thread for each network read would cost
more than the write. Each slow upload keeps as many in memory."""

RATE_SECONDS = 60
"""Over which time an upload's rate is measured."""


@dataclass(frozen=True)
class Limits:
    """What an upload may cost."""

    most_bytes: int
    most_seconds: float
    """Duration of the sound."""
    stall_seconds: float
    least_bytes_per_second: int

    def check_size(self, size_bytes: int) -> None:
        """Raises: UploadTooLarge."""
        if size_bytes > self.most_bytes:
            raise errors.UploadTooLarge(
                f"The upload has more than {self.most_bytes} bytes, which is the most that this "
                "service takes. Send a shorter recording, or one of a lower sample rate."
            )


@dataclass(frozen=True)
class Received:
    """A whole WAV, safely in the store."""

    user_id: int
    filename: str
    wav: Wav
    sha256: bytes
    """Of the bytes as they came; empty unless it was asked for."""


Create = Callable[[int], Upload]
"""Begins an upload of about so many bytes. Raises: StorageFull, StorageUnavailable."""


@dataclass(frozen=True)
class Gate:
    """Where clients say who they are."""

    authenticate: Callable[[Credentials], Awaitable[int]]
    """The user's id as a number.

    Raises: InvalidCredentials, TooManyRequests, DatabaseUnavailable.
    """
    admit_stranger: Callable[[], Awaitable[None]]
    """Lets a file come before its user's token. Raises: TooManyRequests, DatabaseUnavailable."""


async def receive(
    request: Request, create_upload: Create, limits: Limits, gate: Gate, *, hashed: bool
) -> Received:
    """Take in the WAV of a request, be it a form or the plain bytes, and make it durable.

    Credentials are checked as soon as they are known, the WAV as soon as its first bytes have come.
    When anything is wrong, nothing stays behind.

    Raises:
        UploadTooLarge, UploadTooSlow, MalformedRequest, InvalidRequest, InvalidCredentials,
        TooManyRequests, NotAWav, UnsupportedWavCodec, InvalidWav, StorageFull, StorageUnavailable,
        DatabaseUnavailable.
    """
    boundary = forms.boundary(request)
    overhead_bytes = 0 if boundary is None else OVERHEAD_BYTES
    expected_bytes = max(0, (content_length(request) or 0) - overhead_bytes)
    limits.check_size(expected_bytes)
    digest = hashlib.sha256() if hashed else None
    file = File(partial(create_upload, expected_bytes), limits, digest)
    try:
        if boundary is None:
            return await _receive_plain(request, file, limits, gate)
        form = forms.Form(boundary, file.feed)
        return await _receive_form(request, form, file, limits, gate)
    finally:
        # In a thread, for it takes a tenth of a second to unlink a gigabyte; to its end, whatever
        # becomes of the request.
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(file.discard)


async def _receive_plain(request: Request, file: "File", limits: Limits, gate: Gate) -> Received:
    user_id = await gate.authenticate(_credentials(request, {}))
    async for block in body(request, limits):
        file.feed(block)
        await file.drain()
    wav = await file.close()
    return Received(user_id, request.query_params.get("filename", ""), wav, file.sha256)


async def _receive_form(
    request: Request, form: forms.Form, file: "File", limits: Limits, gate: Gate
) -> Received:
    user_id: int | None = None
    if _knows_credentials(request, {}):
        # Nothing has been asked of the client yet: if it waits for a 100, it sends no byte.
        user_id = await gate.authenticate(_credentials(request, {}))
    is_admitted = False
    async for block in body(request, limits):
        form.feed(block)
        if user_id is None and _knows_credentials(request, form.fields):
            user_id = await gate.authenticate(_credentials(request, form.fields))
        elif user_id is None and form.has_file and not is_admitted:
            # Who says only behind the file who they are would else send all of it in vain.
            await gate.admit_stranger()
            is_admitted = True
        await file.drain()
    form.close()
    if user_id is None:
        user_id = await gate.authenticate(_credentials(request, form.fields))
    wav = await file.close()
    return Received(user_id, form.filename, wav, file.sha256)


class File:
    """A WAV that is arriving: gathered, read by the header reader, and written to the store."""

    def __init__(
        self,
        create_upload: Callable[[], Upload],
        limits: Limits,
        digest: "hashlib._Hash | None" = None,
    ) -> None:
        self._create_upload = create_upload
        self._limits = limits
        self._digest = digest
        self._reader = Reader(max_duration_seconds=limits.most_seconds)
        self._upload: Upload | None = None
        self._size_bytes = 0
        self._unread: list[bytes] = []
        self._unwritten: list[bytes] = []
        self._unwritten_bytes = 0

    @property
    def sha256(self) -> bytes:
        """Of all that was written; empty if there is no digest."""
        return self._digest.digest() if self._digest else b""

    async def resume(self, upload: ResumedUpload) -> None:
        """Go on behind what has come before."""
        self._upload = upload
        await anyio.to_thread.run_sync(self._reader.feed_file, upload.file, upload.size_bytes)

    def feed(self, block: bytes) -> None:
        """Take bytes. Raises: UploadTooLarge."""
        self._size_bytes += len(block)
        self._limits.check_size(self._size_bytes)
        self._unread.append(block)

    async def drain(self, *, at_least: int = WRITE_BYTES) -> None:
        """Check what has come, and write it once it is worth it.

        Raises:
            UploadTooLarge, NotAWav, UnsupportedWavCodec, InvalidWav, StorageFull,
            StorageUnavailable.
        """
        for block in self._unread:
            self._reader.feed(block)
            self._unwritten_bytes += len(block)
        self._unwritten += self._unread
        self._unread = []
        if self._unwritten_bytes >= at_least:
            blocks, self._unwritten, self._unwritten_bytes = self._unwritten, [], 0
            await anyio.to_thread.run_sync(self._write, blocks)

    async def close(self) -> Wav:
        """Everything has come: durable from here on.

        Raises: NotAWav, InvalidWav, StorageFull, StorageUnavailable.
        """
        await self.drain(at_least=1)
        found = self._reader.close()
        await anyio.to_thread.run_sync(self._commit)
        return found

    def discard(self) -> None:
        """Leave nothing behind, unless it was closed."""
        if self._upload is not None:
            self._upload.discard()

    def _write(self, blocks: list[bytes]) -> None:
        if self._upload is None:
            self._upload = self._create_upload()
        for block in blocks:
            self._upload.write(block)
            if self._digest:
                self._digest.update(block)

    def _commit(self) -> None:
        if self._upload is not None:
            self._upload.commit()
            self._upload = None


class _Rate:
    """Minds that each minute brings enough: one good minute does not pay for hours of dripping."""

    def __init__(self, least_bytes_per_second: int) -> None:
        self._least_bytes_per_second = least_bytes_per_second
        self._since = time.monotonic()
        self._size_bytes = 0

    def check(self, size_bytes: int, now: float) -> None:
        """`size_bytes` have come in all. Raises: UploadTooSlow."""
        seconds = now - self._since
        if seconds < RATE_SECONDS:
            return
        if size_bytes - self._size_bytes < self._least_bytes_per_second * seconds:
            raise errors.UploadTooSlow(
                f"The upload came at less than {self._least_bytes_per_second} bytes per second; "
                "send it again over a better connection."
            )
        self._since, self._size_bytes = now, size_bytes


async def body(request: Request, limits: Limits) -> AsyncIterator[bytes]:
    """The body's bytes as they come.

    Raises:
        UploadTooLarge: more came than any form of the largest file has.
        UploadTooSlow: nothing came for `stall_seconds`, or too little after the first minute.
        MalformedRequest: the client went away before the end.
    """
    blocks = aiter(request.stream())
    rate = _Rate(limits.least_bytes_per_second)
    size_bytes = 0
    while True:
        try:
            async with asyncio.timeout(limits.stall_seconds):
                block = await anext(blocks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise errors.UploadTooSlow(
                f"No byte came for {limits.stall_seconds:g} seconds; send the upload again."
            ) from None
        except ClientDisconnect:
            raise errors.MalformedRequest from None
        size_bytes += len(block)
        # Behind its last boundary a form may go on for ever, and no part of it would count.
        limits.check_size(size_bytes - OVERHEAD_BYTES)
        rate.check(size_bytes, time.monotonic())
        yield block


def content_length(request: Request) -> int | None:
    """The announced size of the body in bytes."""
    value = request.headers.get("content-length", "")
    return int(value) if value.isascii() and value.isdigit() else None


def _knows_credentials(request: Request, fields: Mapping[str, str]) -> bool:
    sent = _credentials(request, fields)
    return bool(sent.user and sent.token)


def _credentials(request: Request, fields: Mapping[str, str]) -> Credentials:
    """As query parameter `user` and Bearer header, or else as fields of the form.

    In this order, for those are known from the beginning: what counts must not be a matter of how
    the bytes came.
    """
    sent = Credentials.of(request)
    return Credentials(sent.user or fields.get("user", ""), sent.token or fields.get("token", ""))
