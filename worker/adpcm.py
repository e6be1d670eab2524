"""OKI and Yamaha ADPCM → 16-bit PCM: four bits for the step from each sample to the next.

Decoded here because every sample leans on all before it, back to the first: windows that ffmpeg
decodes apart, as `worker/decode.py` has them, would each begin at silence again. A step's size
depends on the codes alone, so only two sums are left to walk through sample by sample: a second of
44.1 kHz stereo takes 17 ms.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from shared.fmt import Codec
from shared.wav import Wav
from worker.pcm import BLOCK_FRAMES, Block, read

Codes = npt.NDArray[np.uint8]
"""One for each sample: a sign and three bits."""


@dataclass(frozen=True)
class _Kind:
    """One way of coding. Its state is whatever `next_state` takes for one."""

    first_state: int
    next_state: Callable[[int, int], int]
    """State and code → the next sample's state."""
    steps: npt.NDArray[np.int64] | None
    """State → step size; None where the state is the step size."""
    most: int
    """The loudest sample before `gain`."""
    gain: int
    high_first: bool
    """Whether a byte's upper half is the first or left sample."""


_OKI_STEPS = np.array([int(16 * 1.1**index) for index in range(49)])
_OKI_MOVES = (-1, -1, -1, -1, 2, 4, 6, 8) * 2
_YAMAHA_FACTORS = (230, 230, 230, 230, 307, 409, 512, 614) * 2
"""In 256ths."""


def _next_oki(index: int, code: int) -> int:
    return min(max(index + _OKI_MOVES[code], 0), len(_OKI_STEPS) - 1)


def _next_yamaha(step: int, code: int) -> int:
    return min(max(step * _YAMAHA_FACTORS[code] >> 8, 127), 24_576)


_KINDS = {
    Codec.OKI_ADPCM: _Kind(0, _next_oki, _OKI_STEPS, 2047, 16, high_first=True),
    Codec.YAMAHA_ADPCM: _Kind(127, _next_yamaha, None, 32_767, 1, high_first=False),
}
"""As the data sheets of MSM6258 and YMZ280B have it: OKI's samples have 12 bits."""

CODECS = frozenset(_KINDS)


def blocks(file: BinaryIO, wav: Wav) -> Iterator[Block]:
    """All sample frames, in blocks of shape (sample frames, channels).

    Raises:
        EOFError: the file is shorter than it was when its header was read.
    """
    kind = _KINDS[wav.codec]
    channels = [_Channel(kind) for _ in range(wav.channels)]
    left = wav.sample_frames or 0
    for data in read(file, wav, BLOCK_FRAMES * wav.channels // 2):
        codes = _codes(data, kind).reshape(-1, wav.channels)[:left]
        left -= len(codes)
        yield np.stack(
            [channel.decode(codes[:, place]) for place, channel in enumerate(channels)], axis=1
        )


def _codes(data: bytes, kind: _Kind) -> Codes:
    pairs = np.frombuffer(data, np.uint8)
    halves = (pairs >> 4, pairs & 15)
    return np.stack(halves if kind.high_first else halves[::-1], axis=1).ravel()


class _Channel:
    """Where the sound of one channel has got to."""

    def __init__(self, kind: _Kind) -> None:
        self._kind = kind
        self._state = kind.first_state
        self._sample = 0

    def decode(self, codes: Codes) -> npt.NDArray[np.int16]:
        kind = self._kind
        *states, self._state = accumulate(codes.tolist(), kind.next_state, initial=self._state)
        steps = np.array(states, np.int64) if kind.steps is None else kind.steps[states]
        size = (2 * (codes & 7).astype(np.int64) + 1) * steps >> 3
        samples = self._sum(np.where(codes & 8, -size, size))
        self._sample = int(samples[-1])
        return (samples * kind.gain).astype(np.int16)

    def _sum(self, changes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Each sample is the one before and its change, no louder than can be."""
        most = self._kind.most
        samples = np.cumsum(changes) + self._sample
        if samples.min() >= -most - 1 and samples.max() <= most:
            return samples
        clipped = accumulate(
            changes.tolist(),
            lambda so_far, change: min(max(so_far + change, -most - 1), most),
            initial=self._sample,
        )
        return np.array([*clipped][1:], np.int64)
