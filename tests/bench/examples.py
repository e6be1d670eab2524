"""Figures of a run that never was."""

from bench.figures import (
    Concurrency,
    Figures,
    Meanwhile,
    Overhead,
    Questions,
    Race,
    Result,
    Rush,
)
from bench.services import PLAIN, QUAVER
from bench.sounds import Sound
from bench.ways import FFMPEG, FFMPEG_VBR, KEPT_ALIVE, LAME_VBR, POST, PYDUB

SECONDS = {
    POST: 0.1,
    KEPT_ALIVE: 0.08,
    FFMPEG: 0.2,
    FFMPEG_VBR: 0.16,
    LAME_VBR: 0.08,
    PYDUB: 0.25,
    PLAIN: 0.4,
}


def make_figures() -> Figures:
    """All parts, of three rounds each."""
    short, long = Sound(10), Sound(7200)
    return Figures(
        races={short: make_race(), Sound(60, sample_rate_hz=8000, channels=1): make_race()},
        overhead=Overhead(short, {QUAVER: [0.09] * 3, PLAIN: [0.39] * 3}, [0.07] * 3),
        rushes={
            POST: Rush(short, 8, [[0.5] * 8] * 3),
            PLAIN: Rush(short, 8, [[1.0] * 8] * 3),
            FFMPEG: Rush(short, 2, [[0.8] * 8] * 3),
        },
        idle=[0.001] * 10,
        meanwhile={
            QUAVER: Meanwhile(long, 30, [0.002] * 99, Sound(3), [0.1, 0.2, 0.3]),
            PLAIN: Meanwhile(Sound(1800), 20, [0.2] * 99, Sound(3), [1, 2, 6]),
        },
        concurrency=Concurrency(
            Sound(600),
            {1: Result([4.0] * 3), 2: Result([2.0] * 3)},
            {count: Rush(short, 8, [[1 / count] * 8] * 3) for count in (1, 2)},
        ),
        questions=Questions(100, 0.1, [0.12] * 3, [1] * 3),
        memory={
            "one at a time": {
                "API": 80_000_000,
                "conversion process 1": 60_000_000,
                "conversion process 2": 70_000_000,
                f"{QUAVER}, all together": 500_000_000,
                f"{PLAIN}, all together": 4_000_000_000,
            }
        },
    )


def make_race() -> Race:
    return {way: Result([seconds] * 3, mp3_bytes=200_000) for way, seconds in SECONDS.items()}
