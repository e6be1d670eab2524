"""What is converted: music of any length, as WAVs."""

import os
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

CHORDS_HZ = ((220, 277, 330), (147, 220, 294), (165, 208, 330), (185, 277, 440))
BEAT_SECONDS = 0.5
PARTIALS = 6
LONGEST_SECONDS = 60
"""Of music that never repeats; making more of it would take longer than converting it."""


@dataclass(frozen=True)
class Sound:
    """A piece of music, 16 bits deep: a chord is plucked and a drum brushed at every beat."""

    seconds: int
    sample_rate_hz: int = 44_100
    channels: int = 2

    @property
    def name(self) -> str:
        if self.channels == 1:
            return f"{self.seconds} s, {self.sample_rate_hz / 1000:g} kHz mono"
        return f"{self.seconds} s"

    def write(self, folder: Path) -> Path:
        """Make it a WAV, if there is none, that is on the disk: nothing is left to be written."""
        path = folder / f"{self.seconds}s-{self.sample_rate_hz}hz-{self.channels}.wav"
        if not path.exists():
            with path.open("wb") as file:
                self._write(file)
                file.flush()
                os.fsync(file.fileno())
        return path

    def _write(self, file: BinaryIO) -> None:
        music = _music(self.sample_rate_hz, self.channels)
        whole, rest = divmod(self.seconds, LONGEST_SECONDS)
        with wave.open(file, "wb") as wav:
            wav.setnchannels(self.channels)
            wav.setsampwidth(2)
            wav.setframerate(self.sample_rate_hz)
            for _ in range(whole):
                wav.writeframes(music)
            wav.writeframes(music[: rest * self.sample_rate_hz * self.channels * 2])


@cache
def _music(sample_rate_hz: int, channels: int) -> bytes:
    beats = _beats(sample_rate_hz, channels)
    return b"".join((beat * 32767).astype("<i2").tobytes() for beat in beats)


def _beats(sample_rate_hz: int, channels: int) -> Iterator[npt.NDArray[np.float32]]:
    rng = np.random.default_rng(seed=1)
    time = np.arange(sample_rate_hz * BEAT_SECONDS, dtype=np.float32)[:, None] / sample_rate_hz
    drum = 0.1 * np.exp(-30 * time)
    for number in range(round(LONGEST_SECONDS / BEAT_SECONDS)):
        beat = drum * rng.standard_normal((len(time), channels), np.float32)
        for note_hz in CHORDS_HZ[number // 4 % len(CHORDS_HZ)]:
            for partial in range(1, PARTIALS + 1):
                balance = 0.2 * rng.random(channels, np.float32) / partial
                tone = np.sin(2 * np.pi * note_hz * partial * time)
                beat += balance * tone * np.exp(-2 * partial * time)
        yield beat.clip(-1, 1)
