"""The frames of MPEG audio that somebody else wrote: layers II and III, as WAVs hold them.

Loggers cut streams anywhere, and taggers do not mind that the MP3 lies in a WAV. So an ID3 tag, or
the end of a frame whose start is lost, may come first, and anything that is no frame may come last.
In between nothing may.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from worker import mp3
from worker.mp3 import BrokenFrame

MOST_FRAME_BYTES = 1729
"""Of layer II: 384 kbit/s at 32 kHz, padded. Layer III stays below."""

MOST_REST_BYTES = 4 << 20
"""Behind the last frame. To look through as many that all but begin frames takes two seconds."""

_HEADER_BYTES = 4
_ID3_HEADER_BYTES = 10
_SKIP_BYTES = 1 << 16

_SYNC = 0x7FF
_SYNC_BYTES = re.compile(rb"\xff(?=[\xe2-\xf7\xfa-\xfd])")
"""Where a frame of layer II or III may begin: not in a run of ones, as flash memory is erased."""
_LAYER_2 = 0b10
_MPEG1 = 0b11
_MONO = 0b11
_RATES_HZ = {_MPEG1: (44100, 48000, 32000), 0b10: (22050, 24000, 16000)}
_KBPS = {
    _MPEG1: (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    0b10: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


class Header(Protocol):
    """What a frame's first four bytes say."""

    @property
    def sample_rate_hz(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def sample_frames(self) -> int: ...


Parse = Callable[[int], Header]
"""What a frame says that begins with these four bytes, big-endian. Raises: BrokenFrame."""


@dataclass(frozen=True)
class Layer2Header:
    """As ISO/IEC 11172-3 2.4.1.3 and 13818-3 have it."""

    sample_rate_hz: int
    channels: int
    size_bytes: int
    sample_frames: int = 1152


def parse_layer_2(word: int) -> Layer2Header:
    """What a frame says that begins with these four bytes, big-endian.

    Raises:
        BrokenFrame: none does, or one of free format, whose size nothing tells.
    """
    version, bitrate_index, rate_index = word >> 19 & 3, word >> 12 & 15, word >> 10 & 3
    if word >> 21 != _SYNC or word >> 17 & 3 != _LAYER_2 or version not in _RATES_HZ:
        raise BrokenFrame(f"no layer II frame begins with {word:08x}")
    if not 0 < bitrate_index < len(_KBPS[version]) or rate_index >= len(_RATES_HZ[version]):
        raise BrokenFrame(f"a frame that begins with {word:08x} has no known size")
    rate_hz = _RATES_HZ[version][rate_index]
    size_bytes = 144_000 * _KBPS[version][bitrate_index] // rate_hz + (word >> 9 & 1)
    return Layer2Header(rate_hz, 1 if word >> 6 & 3 == _MONO else 2, size_bytes)


parse_layer_3: Parse = mp3.parse_header


def frames(blocks: Iterable[bytes], parse: Parse) -> Iterator[tuple[bytes, Header]]:
    """All whole frames of a stream, with their headers.

    A last one that is cut short is left out: what it holds cannot be decoded.

    Raises:
        BrokenFrame: there is none near the start, or something else lies between them.
    """
    stream = _Stream(blocks)
    _skip_id3(stream)
    _skip_end_of_frame(stream, parse)
    while header := _find_header(stream.peek(_HEADER_BYTES), parse):
        frame = stream.take(header.size_bytes)
        if len(frame) < header.size_bytes:
            return
        yield frame, header
    _check_rest(stream, parse)


class _Stream:
    """Bytes that come in blocks, taken in other ones."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._block = b""
        self._place = 0

    def peek(self, size: int) -> bytes:
        """The next bytes, fewer only at the end."""
        while len(self._block) - self._place < size and (block := next(self._blocks, b"")):
            self._block = self._block[self._place :] + block
            self._place = 0
        return self._block[self._place : self._place + size]

    def take(self, size: int) -> bytes:
        taken = self.peek(size)
        self._place += len(taken)
        return taken


def _find_header(start: bytes, parse: Parse) -> Header | None:
    """Of the frame that begins there, if one does."""
    if len(start) < _HEADER_BYTES:
        return None
    try:
        return parse(int.from_bytes(start[:_HEADER_BYTES], "big"))
    except BrokenFrame:
        return None


def _skip_id3(stream: _Stream) -> None:
    """Its size has seven bits in each of four bytes (ID3v2.4, 3.1)."""
    start = stream.peek(_ID3_HEADER_BYTES)
    if start[:3] != b"ID3":
        return
    stream.take(_ID3_HEADER_BYTES)
    left = sum(byte << 7 * place for place, byte in enumerate(reversed(start[6:])))
    while left and (skipped := stream.take(min(left, _SKIP_BYTES))):
        left -= len(skipped)


def _skip_end_of_frame(stream: _Stream, parse: Parse) -> None:
    """Go to the first frame, which may be as far away as a frame is long. Raises: BrokenFrame."""
    start = stream.peek(2 * MOST_FRAME_BYTES + _HEADER_BYTES)
    if (place := _find_pair(start, parse)) is None:
        parse(int.from_bytes(start[:_HEADER_BYTES], "big"))
    else:
        stream.take(place)


def _check_rest(stream: _Stream, parse: Parse) -> None:
    """Raises: BrokenFrame."""
    rest = stream.peek(MOST_REST_BYTES)
    if len(rest) == MOST_REST_BYTES or _find_pair(rest, parse) is not None:
        parse(int.from_bytes(rest[:_HEADER_BYTES], "big"))


def _find_pair(data: bytes, parse: Parse) -> int | None:
    """Where a frame begins that another one follows: a header alone is too easily mistaken."""
    for candidate in _SYNC_BYTES.finditer(data):
        place = candidate.start()
        if header := _find_header(data[place : place + _HEADER_BYTES], parse):
            follows = place + header.size_bytes
            if _find_header(data[follows : follows + _HEADER_BYTES], parse):
                return place
    return None
