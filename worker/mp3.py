"""Arithmetic on MP3 frames: their headers, their account, and the header frame of the whole.

LAME in process writes bare frames. What turns them into a file whose exact length every player
knows is one more frame in front of them, silent to those that do not read it: the Xing header
(frame count, size, seek table) and LAME's extension of it (encoder delay and padding, CRCs).

Sources: ISO/IEC 11172-3 2.4.1.3 and 13818-3 for frame headers; "Mp3 Info Tag revision 1"
(G. Bouvigne) and the files that LAME 3.100 writes for the header frame.
"""

import bisect
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

SAMPLE_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)

ENCODER_DELAY = 576
"""Samples of silence that LAME 3.100 puts first, at every rate (measured with a pulse). Decoders
add 529 of their own, and know it.

ffmpeg 5 cannot drop both ends of one frame: at MPEG-2 rates it gives back 529 samples too many of
a sound shorter than 47. ffmpeg 9 and mpg123 are exact."""

_HEADER_BYTES = 4
_SYNC = 0x7FF
_LAYER_3 = 0b01
_MONO = 0b11

_MPEG1 = 0b11
_RATES_HZ = {
    _MPEG1: (44100, 48000, 32000),
    0b10: (22050, 24000, 16000),
    0b00: (11025, 12000, 8000),
}
"""By version: MPEG-1, MPEG-2, MPEG-2.5."""

_KBPS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)

_XING_BYTES = 120
_LAME_BYTES = 36
_VBR_MTRH = 4
_ATH_TYPE = 5
_PSYCHOACOUSTIC_TUNING = 1 << 4
_SAFE_JOINT_STEREO = 1 << 5
_CARELESS = 8  # The qualities from which on LAME switches to joint stereo without looking twice.
_NOISE_SHAPING = 1
_JOINT_STEREO = 3 << 2
_NOT_FOR_ARCHIVES = 1 << 5  # LAME thinks so of every source of 32 kHz and below.

_MOST = 0xFFFFFFFF  # A day at the highest bitrate has 3.5 GB; longer ones cannot tell their size.

_CRC_BYTES = 1 << 16


class BrokenFrame(ValueError):
    """Not a layer III frame of a known size where one must begin."""


@dataclass(frozen=True)
class FrameHeader:
    """What the first four bytes of a frame say."""

    word: int
    """The four bytes, big-endian."""
    sample_rate_hz: int
    channels: int
    size_bytes: int

    @property
    def sample_frames(self) -> int:
        return 1152 if self.is_mpeg1 else 576

    @property
    def is_mpeg1(self) -> bool:
        return self.word >> 19 & 0b11 == _MPEG1

    @property
    def side_info_bytes(self) -> int:
        if self.is_mpeg1:
            return 17 if self.channels == 1 else 32
        return 9 if self.channels == 1 else 17

    def with_bitrate(self, index: int) -> "FrameHeader":
        """The same without CRC, padding and joint stereo's details, at another bitrate."""
        return parse_header(self.word & 0xFFFF0DCF | 0x00010000 | index << 12)


@lru_cache(maxsize=1024)  # A stream has a few dozen different ones: 14 bitrates, padded or not.
def parse_header(word: int) -> FrameHeader:
    """What a frame says that begins with these four bytes, big-endian.

    Raises:
        BrokenFrame: none does, or one of free format, which LAME does not write unless asked to.
    """
    version, layer = word >> 19 & 0b11, word >> 17 & 0b11
    bitrate_index, rate_index = word >> 12 & 0b1111, word >> 10 & 0b11
    if word >> 21 != _SYNC or layer != _LAYER_3 or version not in _RATES_HZ:
        raise BrokenFrame(f"no layer III frame begins with {word:08x}")
    kbps = _KBPS_1 if version == _MPEG1 else _KBPS_2
    if not 0 < bitrate_index < len(kbps) or rate_index >= len(_RATES_HZ[version]):
        raise BrokenFrame(f"a frame that begins with {word:08x} has no known size")
    rate_hz = _RATES_HZ[version][rate_index]
    bytes_per_kbit = 144_000 if version == _MPEG1 else 72_000
    return FrameHeader(
        word=word,
        sample_rate_hz=rate_hz,
        channels=1 if word >> 6 & 0b11 == _MONO else 2,
        size_bytes=bytes_per_kbit * kbps[bitrate_index] // rate_hz + (word >> 9 & 1),
    )


class Framer:
    """Cuts a stream of bytes into whole frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that end in `data`; what follows them is kept for the next call.

        Raises:
            BrokenFrame: something else lies between the frames.
        """
        data = self._rest + data
        frames = []
        start = 0
        while start + _HEADER_BYTES <= len(data):
            header = parse_header(int.from_bytes(data[start : start + _HEADER_BYTES], "big"))
            end = start + header.size_bytes
            if end > len(data):
                break
            frames.append(data[start:end])
            start = end
        self._rest = data[start:]
        return frames


@dataclass
class Account:
    """What the header frame tells of the frames behind it, noted while they are written."""

    first: FrameHeader | None = None
    sizes: "array[int]" = field(default_factory=lambda: array("H"))
    """Of each frame in bytes: 7 MB for a day of sound."""
    size_bytes: int = 0
    crc: int = 0

    def add(self, frames: Sequence[bytes]) -> None:
        if frames and self.first is None:
            self.first = parse_header(int.from_bytes(frames[0][:_HEADER_BYTES], "big"))
        together = b"".join(frames)
        self.sizes.extend(map(len, frames))
        self.size_bytes += len(together)
        self.crc = crc16(together, self.crc)

    def append(self, other: "Account") -> None:
        """Add frames that were counted elsewhere."""
        self.first = self.first or other.first
        self.sizes.extend(other.sizes)
        self.size_bytes += other.size_bytes
        self.crc = crc16_joined(self.crc, other.crc, other.size_bytes)


@dataclass(frozen=True)
class Settings:
    """How LAME was run, for the header frame to tell."""

    quality: int
    """VBR quality, 0 (best) to 9."""
    source_rate_hz: int


def header_frame_bytes(sample_rate_hz: int, channels: int) -> int:
    """Size of the header frame of such a stream, known before there is one."""
    return _smallest_holding_a_header(plain_header(sample_rate_hz, channels)).size_bytes


def header_frame(account: Account, sample_frames: int, settings: Settings) -> bytes:
    """The frame to put in front of the account's frames.

    `sample_frames` is how many a player is to give back: it drops what LAME put before them and
    behind them to fill the last frame.
    """
    if account.first is None:
        raise BrokenFrame("there is no frame to put a header in front of")
    header = _smallest_holding_a_header(account.first)
    frame = struct.pack(">I", header.word).ljust(_HEADER_BYTES + header.side_info_bytes, b"\0")
    frame += _xing(account, header.size_bytes, settings)
    frame += _lame(account, header, sample_frames, settings)
    frame += struct.pack(">H", crc16(frame))
    return frame.ljust(header.size_bytes, b"\0")


def plain_header(sample_rate_hz: int, channels: int) -> FrameHeader:
    for version, rates_hz in _RATES_HZ.items():
        if sample_rate_hz in rates_hz:
            fields = _SYNC << 21 | version << 19 | _LAYER_3 << 17
            fields |= 1 << 12 | rates_hz.index(sample_rate_hz) << 10
            return parse_header(fields | (_MONO << 6 if channels == 1 else 0))
    raise ValueError(f"MPEG audio has no rate of {sample_rate_hz} Hz")


def _smallest_holding_a_header(header: FrameHeader) -> FrameHeader:
    """Its like with the lowest bitrate that leaves room for the Xing header and LAME's."""
    needed = _HEADER_BYTES + header.side_info_bytes + _XING_BYTES + _LAME_BYTES
    candidates = (header.with_bitrate(index) for index in range(1, len(_KBPS_1)))
    return next(candidate for candidate in candidates if candidate.size_bytes >= needed)


def _xing(account: Account, header_bytes: int, settings: Settings) -> bytes:
    """Flags say that all four fields are there; the frame count leaves out the header frame."""
    size_bytes = min(header_bytes + account.size_bytes, _MOST)
    counts = struct.pack(">4sIII", b"Xing", 0b1111, len(account.sizes), size_bytes)
    worth = 100 - 10 * settings.quality
    return counts + seek_table(account.sizes, header_bytes) + struct.pack(">I", worth)


def seek_table(sizes: "array[int]", header_bytes: int) -> bytes:
    """Where in the file each hundredth of the time begins, in 256ths of its size."""
    ends = header_bytes + np.cumsum(np.frombuffer(sizes, np.uint16), dtype=np.int64)
    begins = ends - np.frombuffer(sizes, np.uint16)
    hundredths = np.arange(100) * len(begins) // 100
    return bytes((begins[hundredths] * 256 // ends[-1]).tolist())


def _lame(account: Account, header: FrameHeader, sample_frames: int, settings: Settings) -> bytes:
    """LAME's extension up to the CRC of the header frame itself."""
    padding = len(account.sizes) * header.sample_frames - ENCODER_DELAY - sample_frames
    mono = header.channels == 1
    source_rate = _source_rate(settings.source_rate_hz)
    safe_joint_stereo = 0 if mono or settings.quality >= _CARELESS else _SAFE_JOINT_STEREO
    return struct.pack(
        ">9sBBIHHBB3sBBHIH",
        b"LAME3.100",
        _VBR_MTRH,
        (lowpass_hz(settings.quality, header) + 50) // 100,
        0,  # Peak and both gains: not measured.
        0,
        0,
        _ATH_TYPE | _PSYCHOACOUSTIC_TUNING | safe_joint_stereo,
        32 if header.is_mpeg1 else 8,  # The lowest bitrate that frames may have.
        (ENCODER_DELAY << 12 | padding).to_bytes(3, "big"),
        _NOISE_SHAPING
        | (0 if mono else _JOINT_STEREO)
        | (0 if source_rate else _NOT_FOR_ARCHIVES)
        | source_rate << 6,
        0,  # The gain was not changed.
        500 - 10 * settings.quality,  # The preset's number.
        min(header.size_bytes + account.size_bytes, _MOST),
        account.crc,
    )


def lowpass_hz(quality: int, header: FrameHeader) -> int:
    """What LAME 3.100 removes above, by VBR quality."""
    wanted = (24000, 19500, 18500, 18000, 17500, 17000, 16500, 15600, 15200, 7230)[quality]
    return min(wanted, header.sample_rate_hz // 2)


def _source_rate(hz: int) -> int:
    """The original rate's class: up to 32 kHz, 44.1, 48, above."""
    return bisect.bisect_left((32_000, 47_999, 48_000), hz)


@cache
def _after_zeros(exponent: int) -> npt.NDArray[np.uint16]:
    """What each CRC-16 becomes after 2**exponent zero bytes: polynomial x^16+x^15+x^2+1."""
    if exponent > 0:
        half = _after_zeros(exponent - 1)
        return half[half]
    crcs: npt.NDArray[np.uint16] = np.arange(1 << 16, dtype=np.uint16)
    for _ in range(8):
        crcs = np.where(crcs & 1, crcs >> 1 ^ 0xA001, crcs >> 1)
    return crcs


def crc16(data: bytes, crc: int = 0) -> int:
    """CRC-16 as in LAME's header, at about memory speed; `crc` is that of the bytes before.

    Every two bytes' own CRC is looked up, then neighbours are joined, pair by pair: the CRC of
    AB is A's after as many zeros as B has bytes, XOR B's. Zeros in front change nothing.
    """
    for start in range(0, len(data), _CRC_BYTES):
        piece = data[start : start + _CRC_BYTES]
        crc = crc16_joined(crc, _crc16_of(piece), len(piece))
    return crc


def crc16_joined(crc: int, next_crc: int, next_bytes: int) -> int:
    """The CRC of two pieces in a row, given each one's own and the size of the second."""
    for exponent in range(next_bytes.bit_length()):
        if next_bytes >> exponent & 1:
            crc = int(_after_zeros(exponent)[crc])
    return crc ^ next_crc


def _crc16_of(piece: bytes) -> int:
    exponent = max(len(piece) - 1, 1).bit_length()
    words = np.frombuffer(piece.rjust(1 << exponent, b"\0"), "<u2")
    crcs = _after_zeros(1)[words]
    for joined in range(1, exponent):
        crcs = _after_zeros(joined)[crcs[0::2]] ^ crcs[1::2]
    return int(crcs[0])
