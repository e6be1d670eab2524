"""Uncompressed WAV samples → 16-bit PCM, mono or stereo, in blocks.

16 bits are what LAME is fed (facts: NaN samples fed as floats abort it). Rounding to them is not
dithered: MP3's own quantisation noise lies far above that of 16 bits, and noise costs bitrate.
"""

from collections.abc import Callable, Iterator
from functools import cache
from math import cos, pi, sin, sqrt
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from shared.fmt import Codec
from shared.wav import Wav

Block = npt.NDArray[np.int16]
"""Shape (sample frames, 1 or 2)."""

BLOCK_FRAMES = 1 << 16

STEREO = 2
_LOUDEST = 32767

_MIX_FRAMES = 2048
"""A product so small that OpenBLAS starts no threads for it: those cost ten times the work."""

_3_DB, _6_DB = sqrt(0.5), 0.5
_MIDDLE = (_3_DB, _3_DB)
_SHARES = {
    0: (1.0, 0.0),  # Front left.
    1: (0.0, 1.0),  # Front right.
    2: _MIDDLE,  # Front centre.
    3: (0.0, 0.0),  # Low frequencies: BS.775 leaves them out.
    4: (_3_DB, 0.0),  # Back left.
    5: (0.0, _3_DB),  # Back right.
    6: (cos(pi / 8), sin(pi / 8)),  # Front, left of centre.
    7: (sin(pi / 8), cos(pi / 8)),  # Front, right of centre.
    8: (_6_DB, _6_DB),  # Back centre.
    9: (_3_DB, 0.0),  # Side left.
    10: (0.0, _3_DB),  # Side right.
    11: (_6_DB, _6_DB),  # Top centre.
    12: (_3_DB, 0.0),  # Top front left.
    13: (_6_DB, _6_DB),  # Top front centre.
    14: (0.0, _3_DB),  # Top front right.
    15: (_6_DB, 0.0),  # Top back left.
    16: (_6_DB * _3_DB, _6_DB * _3_DB),  # Top back centre.
    17: (0.0, _6_DB),  # Top back right.
}
"""Bit of dwChannelMask → shares of left and right."""

_USUAL_PLACES = {
    3: [0, 1, 2],
    4: [0, 1, 4, 5],
    5: [0, 1, 2, 4, 5],
    6: [0, 1, 2, 3, 4, 5],
    7: [0, 1, 2, 3, 8, 9, 10],
    8: [0, 1, 2, 3, 4, 5, 9, 10],
}
"""Where so many channels usually are when the file does not say: quad, 5.0, 5.1, 6.1, 7.1."""


def blocks(
    file: BinaryIO,
    wav: Wav,
    *,
    block_frames: int = BLOCK_FRAMES,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[Block]:
    """Sample frames `start` to `stop` (or the last) of an uncompressed WAV.

    One channel stays mono, more become stereo. A block of 16-bit stereo is a read-only view of
    the bytes read, so that it costs next to nothing.

    Raises:
        EOFError: the file is shorter than it was when its header was read.
    """
    end = wav.sample_frames or 0
    end = end if stop is None else min(stop, end)
    convert = _CONVERTERS[wav.codec, wav.bits]
    downmix = _downmix(wav.channels, wav.channel_mask)
    file.seek(wav.data_offset + start * wav.block_align_bytes)
    for position in range(start, end, block_frames):
        size = min(block_frames, end - position) * wav.block_align_bytes
        raw = file.read(size)
        if len(raw) < size:
            raise EOFError(f"the WAV ends {size - len(raw)} bytes before its samples do")
        yield downmix(convert(raw).reshape(-1, wav.channels))


def read(file: BinaryIO, wav: Wav, size: int) -> Iterator[bytes]:
    """The bytes of all samples, in blocks of that size.

    Raises:
        EOFError: the file is shorter than it was when its header was read.
    """
    end = wav.data_offset + wav.data_size_bytes
    file.seek(wav.data_offset)
    for position in range(wav.data_offset, end, size):
        data = file.read(min(size, end - position))
        if len(data) < min(size, end - position):
            raise EOFError("the WAV ends before its samples do")
        yield data


def _from_u8(raw: bytes) -> Block:
    """Offset binary: 128 is silence."""
    return (np.frombuffer(raw, np.uint8).astype(np.int16) - 128) << 8


def _from_s16(raw: bytes) -> Block:
    return np.frombuffer(raw, "<i2")


def _from_s24(raw: bytes) -> Block:
    """The upper two of three bytes, seen in place as an array of unaligned 16-bit numbers."""
    upper: Block = np.ndarray(len(raw) // 3, "<i2", raw, offset=1, strides=(3,))
    return _round(upper, np.frombuffer(raw, np.uint8)[::3] >> 7)


def _from_s32(raw: bytes) -> Block:
    halves = np.frombuffer(raw, "<u2").reshape(-1, 2)
    return _round(halves[:, 1].view("<i2"), halves[:, 0] >> 15)


def _from_s64(raw: bytes) -> Block:
    """Of 64 bits the upper 32 are more than enough."""
    return _from_s32(np.frombuffer(raw, "<u4")[1::2].tobytes())


def _round(upper: Block, half: npt.NDArray[Any]) -> Block:
    """`upper` and one more where the bit below it, `half`, is set; the loudest sample stays."""
    rounded: Block = upper + (half.astype(np.int16) & (upper != _LOUDEST))
    return rounded


def _from_f32(raw: bytes) -> Block:
    return _from_float(np.frombuffer(raw, "<f4"))


def _from_f64(raw: bytes) -> Block:
    return _from_float(np.frombuffer(raw, "<f8"))


def _from_float(samples: npt.NDArray[Any]) -> Block:
    """±1.0 is full scale, beyond is clipped; NaN and infinities are no sound and become 0."""
    heard = np.where(np.isfinite(samples), samples, 0)
    np.clip(heard, -1, 1, out=heard)
    np.rint(np.multiply(heard, 32768, out=heard), out=heard)
    return np.minimum(heard, _LOUDEST, out=heard).astype(np.int16)


def _from_alaw(raw: bytes) -> Block:
    return _alaw_table()[np.frombuffer(raw, np.uint8)]


def _from_mulaw(raw: bytes) -> Block:
    return _mulaw_table()[np.frombuffer(raw, np.uint8)]


_CONVERTERS: dict[tuple[Codec, int], Callable[[bytes], Block]] = {
    (Codec.PCM, 8): _from_u8,
    (Codec.PCM, 16): _from_s16,
    (Codec.PCM, 24): _from_s24,
    (Codec.PCM, 32): _from_s32,
    (Codec.PCM, 64): _from_s64,
    (Codec.FLOAT, 32): _from_f32,
    (Codec.FLOAT, 64): _from_f64,
    (Codec.ALAW, 8): _from_alaw,
    (Codec.MULAW, 8): _from_mulaw,
}


@cache
def _alaw_table() -> Block:
    """ITU-T G.711, A-law: even bits inverted, then sign, exponent and mantissa."""
    code = np.arange(256) ^ 0x55
    exponent, mantissa = code >> 4 & 7, (code & 15) << 4
    magnitude = np.where(
        exponent == 0, mantissa + 8, mantissa + 0x108 << np.maximum(exponent, 1) - 1
    )
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


@cache
def _mulaw_table() -> Block:
    """ITU-T G.711, µ-law: all bits inverted, then sign, exponent and mantissa, biased by 132."""
    code = np.arange(256) ^ 0xFF
    magnitude = (((code & 15) << 3) + 132 << (code >> 4 & 7)) - 132
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _downmix(channels: int, mask: int) -> Callable[[Block], Block]:
    if channels <= STEREO:
        return lambda block: block
    matrix = downmix_matrix(channels, mask)

    def mix(block: Block) -> Block:
        mixed = np.empty((len(block), STEREO), np.int16)
        for start in range(0, len(block), _MIX_FRAMES):
            piece = block[start : start + _MIX_FRAMES].astype(np.float32) @ matrix
            mixed[start : start + _MIX_FRAMES] = np.rint(piece, out=piece)
        return mixed

    return mix


def downmix_matrix(channels: int, mask: int) -> npt.NDArray[np.float32]:
    """Left and right shares of each channel, shape (channels, 2), after ITU-R BS.775-3 annex 4.

    Scaled so that nothing can clip. Channels without a place, as those of a multitrack recorder,
    are heard in the middle.
    """
    places = [bit for bit in _SHARES if mask >> bit & 1]
    places = places or _USUAL_PLACES.get(channels, [])
    shares = [_SHARES.get(place, _MIDDLE) for place in places[:channels]]
    shares += [_MIDDLE] * (channels - len(shares))
    matrix: npt.NDArray[np.float32] = np.array(shares, np.float32)
    matrix /= matrix.sum(axis=0).max()
    return matrix
