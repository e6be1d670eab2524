"""The parts of the benchmark: which sounds, how many clients, how often."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench import load, memory, overhead, services, watch, ways
from bench.figures import Concurrency, Figures, Questions
from bench.services import Service
from bench.sounds import Sound
from tests.jservice import JService

NOTE = Sound(3)
SHORT = Sound(10)
LONG = Sound(600)
SOUNDS = (NOTE, SHORT, Sound(60), LONG, Sound(60, sample_rate_hz=8_000, channels=1))
QUICK_SOUNDS = (NOTE, SHORT)

LECTURE, SHORTER_LECTURE = Sound(7200), Sound(1800)
LECTURE_BYTES = 8 << 30
"""What memory must be free for the plain service to be sent the longer one."""

CLIENTS = 8
CONCURRENCY = (1, 2, 4)
TRIP_SECONDS = 0.1
QUESTIONS = 100
IDLE_SECONDS = 3


@dataclass(frozen=True)
class Bench:
    """Both services, running, and what is measured into `figures`."""

    figures: Figures
    folder: Path
    """For WAVs and MP3s; PostgreSQL's account can reach it under root."""
    rounds: int
    quick: bool
    quaver: Service
    plain: Service
    jservice: JService
    """The product's source of questions; it knows many more than will be stored."""

    def conversions(self) -> None:
        """Every way with every sound."""
        contenders = ways.all_ways(self.quaver, self.plain, self.folder)
        with memory.peaks(self.services) as self.figures.memory["one at a time"]:
            for sound in QUICK_SOUNDS if self.quick else SOUNDS:
                rounds = self.few_rounds if sound is LONG else self.rounds
                _say(f"{sound.name}: {rounds} rounds")
                wav = sound.write(self.folder)
                for service in self.services:
                    service.check(wav, sound)
                self.figures.races[sound] = watch.race(contenders, wav, rounds)

    def overhead(self) -> None:
        """Of a product that encodes on one core, as LAME alone does."""
        _say(f"what is added to LAME's own time: {self.rounds} rounds")
        with services.quaver(self.folder / "one", WORKER_CONCURRENCY="1") as quaver:
            self.figures.overhead = overhead.measure(
                (quaver, self.plain), SHORT, self.folder, self.rounds
            )

    def clients(self) -> None:
        """Many at once; ffmpeg is run for as many at a time as there are cores."""
        _say(f"{CLIENTS} clients at once: {self.rounds} rounds")
        post, _, ffmpeg, *_, plain = ways.all_ways(self.quaver, self.plain, self.folder)
        at_once = {post: CLIENTS, plain: CLIENTS, ffmpeg: psutil.cpu_count() or 1}
        with memory.peaks(self.services) as self.figures.memory[f"{CLIENTS} clients"]:
            self.figures.rushes = load.rushes(
                at_once, SHORT, self.folder, clients=CLIENTS, rounds=self.rounds
            )

    def lecture(self) -> None:
        """Two hours, and who else wants something meanwhile."""
        self.figures.idle = self._idle()
        enough = psutil.virtual_memory().available > LECTURE_BYTES
        with memory.peaks(self.services) as self.figures.memory["a long one"]:
            for service in self.services:
                is_long = service is self.quaver or enough
                sound = LECTURE if is_long else SHORTER_LECTURE
                _say(f"{sound.name} at the {service.name}")
                self.figures.meanwhile[service.name] = load.meanwhile(
                    service, sound, NOTE, self.folder
                )

    def concurrency(self) -> None:
        """Other numbers of conversion processes, each in a product of its own, all running."""
        _say(f"{', '.join(map(str, CONCURRENCY))} conversion processes: {self.few_rounds} rounds")
        with ExitStack() as running:
            by_count = {
                count: ways.post(
                    running.enter_context(
                        services.quaver(self.folder / f"{count}", WORKER_CONCURRENCY=f"{count}")
                    ),
                    name=f"{count}",
                )
                for count in CONCURRENCY
            }
            posts = list(by_count.values())
            alone = watch.race(posts, LONG.write(self.folder), self.few_rounds)
            at_once = dict.fromkeys(posts, CLIENTS)
            crowded = load.rushes(
                at_once, SHORT, self.folder, clients=CLIENTS, rounds=self.few_rounds
            )
        self.figures.concurrency = Concurrency(
            LONG,
            {count: alone[way.name] for count, way in by_count.items()},
            {count: crowded[way.name] for count, way in by_count.items()},
        )

    def questions(self) -> None:
        _say(f"{QUESTIONS} questions: {self.rounds} rounds")
        seconds, trips = [], []
        with memory.peaks([self.quaver]) as self.figures.memory["questions"]:
            for _ in range(1 + self.rounds):
                before, began = len(self.jservice.counts), time.perf_counter()
                services.post_json(f"{self.quaver.url}/questions", {"questions_num": QUESTIONS})
                seconds.append(time.perf_counter() - began)
                trips.append(len(self.jservice.counts) - before)
        self.figures.questions = Questions(QUESTIONS, TRIP_SECONDS, seconds[1:], trips[1:])

    def _idle(self) -> list[float]:
        until = time.monotonic() + IDLE_SECONDS
        with closing(self.quaver.connection()) as connection:
            return watch.probe(
                lambda: connection.get("/health/live"), goes_on=lambda: time.monotonic() < until
            )

    @property
    def services(self) -> Sequence[Service]:
        return self.quaver, self.plain

    @property
    def few_rounds(self) -> int:
        return -(-self.rounds // 3)


PARTS: Mapping[str, Callable[[Bench], None]] = {
    "conversions": Bench.conversions,
    "overhead": Bench.overhead,
    "clients": Bench.clients,
    "lecture": Bench.lecture,
    "concurrency": Bench.concurrency,
    "questions": Bench.questions,
}
QUICK_PARTS = [name for name in PARTS if name not in {"lecture", "concurrency"}]


def _say(text: str) -> None:
    print(f"{text} ...", file=sys.stderr, flush=True)
