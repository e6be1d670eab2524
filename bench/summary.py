"""What the README says of a run."""

from collections.abc import Iterator
from statistics import median

from bench import memory
from bench.figures import Figures, percentile
from bench.markdown import megabytes, milliseconds, seconds, table
from bench.services import PLAIN, QUAVER
from bench.ways import FFMPEG, KEPT_ALIVE, POST


def speed(figures: Figures) -> str:
    """Its tables; what was not measured is left out."""
    parts = [*_conversions(figures), *_services(figures), *_questions(figures)]
    return "\n\n".join(parts)


def _conversions(figures: Figures) -> Iterator[str]:
    """The product's times, and those as multiples of each other way's."""
    if not figures.races:
        return
    others = [way for way in next(iter(figures.races.values())) if way not in {POST, KEPT_ALIVE}]
    rows = [
        [
            sound.name,
            seconds(race[POST].median),
            seconds(race[KEPT_ALIVE].median),
            *(f"{race[POST].ratio(race[way]):.2f}" for way in others),
        ]
        for sound, race in figures.races.items()
    ]
    yield table(["WAV", POST, "without curl", *(f"÷ {way}" for way in others)], rows)


def _services(figures: Figures) -> Iterator[str]:
    """The two services side by side."""
    rows = [*_overhead(figures), *_clients(figures), *_lecture(figures), *_memory(figures)]
    if rows:
        yield table(["", QUAVER, PLAIN], rows)


def _overhead(figures: Figures) -> Iterator[list[str]]:
    if overhead := figures.overhead:
        added = [milliseconds(overhead.seconds(service)) for service in (QUAVER, PLAIN)]
        yield [
            f"{overhead.sound.name}, one core: last byte sent to answer, less LAME's own time",
            *added,
        ]


def _clients(figures: Figures) -> Iterator[list[str]]:
    if not figures.rushes:
        return
    rushes = [figures.rushes[way] for way in (POST, PLAIN)]
    ffmpeg = figures.rushes[FFMPEG]
    beside = f"ffmpeg, {ffmpeg.at_once} at a time: {ffmpeg.times_real_time:.0f} ×"
    yield [
        f"{rushes[0].clients} clients at once, {rushes[0].sound.name} each ({beside})",
        *(f"{rush.times_real_time:.0f} × real time" for rush in rushes),
    ]
    yield ["the last of them is served after", *(seconds(median(rush.seconds)) for rush in rushes)]


def _lecture(figures: Figures) -> Iterator[list[str]]:
    if not figures.meanwhile:
        return
    lectures = [figures.meanwhile[service] for service in (QUAVER, PLAIN)]
    long = lectures[0].sound
    yield [
        f"a recording of {long.name}",
        *(
            seconds(each.seconds) + (f" for {each.sound.name}" if each.sound != long else "")
            for each in lectures
        ),
    ]
    yield [
        "meanwhile `GET /health/live`, p99",
        *(milliseconds(percentile(each.health, 99)) for each in lectures),
    ]
    yield [
        f"meanwhile uploads of {lectures[0].note.name}, median (slowest)",
        *(f"{seconds(median(each.uploads))} ({seconds(max(each.uploads))})" for each in lectures),
    ]


def _memory(figures: Figures) -> Iterator[list[str]]:
    peaks = figures.peaks()
    if memory.total(PLAIN) in peaks:
        conversion = max(size for name, size in peaks.items() if name.startswith("conversion"))
        yield ["peak memory: the API", megabytes(peaks["API"]), ""]
        yield ["peak memory: a conversion process", megabytes(conversion), ""]
        totals = [megabytes(peaks[memory.total(service)]) for service in (QUAVER, PLAIN)]
        yield ["peak memory: all processes, databases included", *totals]


def _questions(figures: Figures) -> Iterator[str]:
    if questions := figures.questions:
        yield (
            f"{questions.asked_for} new questions from a source that takes "
            f"{milliseconds(questions.trip_seconds)} to answer: "
            f"{milliseconds(median(questions.seconds))}."
        )
