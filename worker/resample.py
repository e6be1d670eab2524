"""16-bit PCM at a WAV's rate → 16-bit PCM at its MP3's rate, with libsoxr.

LAME would do it too, but with 32 taps: of a tone of 28.8 kHz in a WAV of 96 kHz it leaves one of
19.2 kHz, 28 dB down. Here nothing is left of it.
"""

import numpy as np
import numpy.typing as npt
import soxr

from worker.pcm import Block

_QUALITY = "VHQ"
"""The lowest that calculates in double precision. Segments must agree where they overlap, and only
so does it not matter where a resampler began: once its filter is full, one in a million samples is
rounded to the number beside. In single precision it is one in 300 (measured)."""

_LOWEST, _HIGHEST = -32768, 32767


class Resampler:
    """Takes a sound block by block. What comes out is in time with it, and as long."""

    def __init__(self, from_hz: int, to_hz: int, channels: int, *, skip: int = 0) -> None:
        """`skip` sample frames are left out at the start of what comes out."""
        self._stream: soxr.ResampleStream | None = None
        if from_hz != to_hz:
            self._stream = soxr.ResampleStream(from_hz, to_hz, channels, quality=_QUALITY)
        self._channels = channels
        self._skip = skip
        self._made = 0

    def feed(self, block: Block) -> Block:
        """What is settled by now: up to two thousand sample frames wait for those to come."""
        if self._stream is None:
            return block
        return self._taken(self._stream.resample_chunk(block.astype(np.float32, order="C")))

    def flush(self) -> Block:
        """What waits, and nothing can be fed any more. Of the shortest sound something is left."""
        nothing = np.empty((0, self._channels), np.float32)
        if self._stream is None:
            return self._taken(nothing)
        rest = self._stream.resample_chunk(nothing, last=True)
        if not self._made + len(rest):
            rest = np.zeros((1, self._channels), np.float32)
        return self._taken(rest)

    def _taken(self, samples: npt.NDArray[np.float32]) -> Block:
        """To 16 bits. The corners of a loud square wave overshoot: clipped, they do not wrap."""
        np.clip(np.rint(samples, out=samples), _LOWEST, _HIGHEST, out=samples)
        kept = samples[max(0, self._skip - self._made) :]
        self._made += len(samples)
        return kept.astype(np.int16)


def length(sample_frames: int, from_hz: int, to_hz: int) -> int:
    """How many sample frames that many become: rounded, a half up, but at least one."""
    return max(1, (2 * sample_frames * to_hz + from_hz) // (2 * from_hz))
