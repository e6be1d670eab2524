"""What was measured, and the arithmetic on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from bench.sounds import Sound


@dataclass
class Result:
    """How one way did with one sound."""

    seconds: list[float] = field(default_factory=list)
    mp3_bytes: int = 0

    @property
    def median(self) -> float:
        return median(self.seconds)

    def ratio(self, other: "Result") -> float:
        """This one's time as a multiple of the other's: the median of the ratios in each round.

        What slows the machine down for a while slows down both.
        """
        pairs = zip(self.seconds, other.seconds, strict=True)
        return median(one / another for one, another in pairs)


Race = Mapping[str, Result]
"""By the ways' names, all in the same rounds."""


@dataclass
class Rush:
    """Many clients at once, again and again: each one's seconds from the common start."""

    sound: Sound
    """That each of them sends."""
    at_once: int
    """How many are served at a time."""
    rounds: list[list[float]] = field(default_factory=list)

    @property
    def clients(self) -> int:
        return len(self.rounds[0])

    @property
    def seconds(self) -> list[float]:
        """Of each round, until the last client was served."""
        return [max(clients) for clients in self.rounds]

    @property
    def recordings_per_second(self) -> float:
        return median(len(clients) / max(clients) for clients in self.rounds)

    @property
    def times_real_time(self) -> float:
        return self.recordings_per_second * self.sound.seconds

    @property
    def latencies(self) -> list[float]:
        return [seconds for clients in self.rounds for seconds in clients]


@dataclass(frozen=True)
class Meanwhile:
    """How others were served during one service's long conversion."""

    sound: Sound
    seconds: float
    """That it took."""
    health: Sequence[float]
    note: Sound
    uploads: Sequence[float]
    """Of the note, again and again."""


@dataclass(frozen=True)
class Overhead:
    """What a service adds to the encoder's own time: one of each in every round."""

    sound: Sound
    waits: Mapping[str, Sequence[float]]
    """From the upload's last byte to the answer's first, by the services' names."""
    lame: Sequence[float]

    def seconds(self, service: str) -> float:
        pairs = zip(self.waits[service], self.lame, strict=True)
        return median(wait - lame for wait, lame in pairs)


@dataclass(frozen=True)
class Concurrency:
    """How the product does with other numbers of conversion processes."""

    sound: Sound
    alone: Mapping[int, Result]
    crowded: Mapping[int, Rush]


@dataclass(frozen=True)
class Questions:
    """Requests for new questions."""

    asked_for: int
    trip_seconds: float
    """Of one round trip to the source."""
    seconds: Sequence[float]
    trips: Sequence[int]


@dataclass
class Figures:
    """All of a run; what was not measured is empty."""

    races: dict[Sound, Race] = field(default_factory=dict)
    overhead: Overhead | None = None
    rushes: dict[str, Rush] = field(default_factory=dict)
    """By the names of the ways."""
    idle: Sequence[float] = ()
    meanwhile: dict[str, Meanwhile] = field(default_factory=dict)
    """By the services' names; `idle` is `GET /health/live` with nothing else to do."""
    concurrency: Concurrency | None = None
    questions: Questions | None = None
    memory: dict[str, dict[str, int]] = field(default_factory=dict)
    """The peaks in bytes, by when it was and which process."""

    def peaks(self) -> dict[str, int]:
        """Those of the whole run."""
        peaks: dict[str, int] = {}
        for part in self.memory.values():
            for name, size in part.items():
                peaks[name] = max(size, peaks.get(name, 0))
        return peaks


def percentile(values: Sequence[float], percent: int) -> float:
    """Between two values where none is exactly there."""
    return float(np.percentile(values, percent))
