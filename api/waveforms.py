"""Serving a waveform in audiowaveform's JSON: as coarse as a player wants it, page by page.

https://github.com/bbc/audiowaveform/blob/master/doc/DataFormat.md
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus

import numpy as np
import numpy.typing as npt
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from api import downloads, schemas
from api.connection import BrokenOff, to_the_end
from api.dependencies import Transactions
from api.downloads import Sound
from shared import waveforms
from shared.waveforms import PIXEL_BYTES, SAMPLES_PER_PIXEL

MOST_SAMPLES_PER_PIXEL = SAMPLES_PER_PIXEL << 16
"""Six minutes of 44.1 kHz: a whole day is drawn in 228 pixels then."""

ROWS_PER_QUERY = 8
"""At most 256 KiB of pixels, a megabyte of JSON: what a slow client may keep in memory."""

_TEXTS = np.array([f"{number},".encode() for number in [*range(128), *range(-128, 0)]])
"""Of each signed byte, where it would be if it were an unsigned one; filled up with zeros."""


@dataclass(frozen=True)
class Waveform:
    """A stored sound's waveform as HTTP sees it."""

    sound: Sound
    sample_rate_hz: int
    stored_pixels: int
    """Of `SAMPLES_PER_PIXEL` each."""
    samples_per_pixel: int
    """What the player wants, a multiple of that."""

    @property
    def etag(self) -> str:
        return f'{self.sound.etag[:-1]}-{self.samples_per_pixel}"'

    @property
    def stored_per_pixel(self) -> int:
        """How many stored pixels become one."""
        return self.samples_per_pixel // SAMPLES_PER_PIXEL

    def to_json(self) -> bytes:
        """All but the data, which go before the last two bytes."""
        empty = schemas.Waveform(
            sample_rate=self.sample_rate_hz,
            samples_per_pixel=self.samples_per_pixel,
            length=-(-self.stored_pixels // self.stored_per_pixel),
            data=[],
        )
        return empty.model_dump_json().encode()


def respond(request: Request, waveform: Waveform, transact: Transactions) -> Response:
    """The answer to a GET or HEAD."""
    modified = waveform.sound.modified
    downloads.check_conditions(request, waveform.etag, modified)
    headers = downloads.link_headers(waveform.etag, modified)
    if downloads.is_fresh(request, waveform.etag, modified):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    # Without a Content-Length, which only the written numbers would tell.
    content = () if request.method == "HEAD" else to_the_end(_stream(waveform, transact))
    return StreamingResponse(content, headers=headers, media_type="application/json")


async def _stream(waveform: Waveform, transact: Transactions) -> AsyncIterator[bytes]:
    document = waveform.to_json()
    yield document[:-2]
    separator = b""
    async for pixels in _pages(waveform, transact):
        yield separator + _written(pixels)
        separator = b","
    yield document[-2:]


async def _pages(waveform: Waveform, transact: Transactions) -> AsyncIterator[npt.NDArray[np.int8]]:
    """The wanted pixels, read in short transactions; what is left over goes to the next page."""
    wanted_bytes = waveform.stored_per_pixel * PIXEL_BYTES
    position, rest = 0, b""
    while position < waveform.stored_pixels:
        read = await transact.read(
            waveforms.read, waveform.sound.record_id, position, most_rows=ROWS_PER_QUERY
        )
        if not read:
            raise BrokenOff("the recording was deleted")
        position += len(read) // PIXEL_BYTES
        held = rest + read
        is_last = position >= waveform.stored_pixels
        ready = len(held) if is_last else len(held) // wanted_bytes * wanted_bytes
        rest = held[ready:]
        if ready:
            yield _coarser(held[:ready], waveform.stored_per_pixel)


def _coarser(stored: bytes, count: int) -> npt.NDArray[np.int8]:
    """Each `count` stored pixels as one."""
    pixels = np.frombuffer(stored, np.int8).reshape(-1, PIXEL_BYTES)
    return waveforms.extremes(pixels[:, 0], pixels[:, 1], count)


def _written(pixels: npt.NDArray[np.int8]) -> bytes:
    """The numbers as JSON has them, separated by commas: 8 ns each, a third of `bytes.join`'s."""
    return _TEXTS[pixels.view(np.uint8)].tobytes().translate(None, b"\0")[:-1]
