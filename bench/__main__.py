"""Measure the whole product, as `run.py` starts it, beside ffmpeg, lame and pydub.

All is measured in one run on one machine, so that the ratios mean something where the times do
not. The report goes to standard output and to a file in `bench/out/`.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import report, watch, ways
from bench.ways import Sound, Upload
from tests.acceptance.product import Product
from tests.jservice import JService, make_clues, serve_after

OUT = Path(__file__).parent / "out"

SHORT = [Sound("3 s", 3), Sound("10 s", 10)]
LONGEST = Sound("600 s", 600)
SOUNDS = [
    *SHORT,
    Sound("60 s", 60),
    LONGEST,
    Sound("60 s note, 8 kHz mono", 60, sample_rate_hz=8_000, channels=1),
]

AS_SHIPPED = {"WORKER_CONCURRENCY": "", "JOB_LEASE_SECONDS": "", "SWEEP_SECONDS": ""}
"""Empty is the default; the tests' own are more hurried."""

TRIP_SECONDS = 0.1
CLUES = 20_000
QUESTIONS = 100
IDLE_SECONDS = 3


def main() -> int:
    arguments = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Also where a shell's `&` has left SIGINT ignored: what was started is to be stopped.
        signal.signal(number, signal.default_int_handler)
    title = f"{report.machine()}, {ways.versions()}"
    try:
        with _jservice() as jservice, _folder() as folder, _product(folder, jservice) as product:
            sections = _measure(product, jservice, folder, arguments)
    except KeyboardInterrupt:
        return 130
    except ways.WrongAnswer as error:
        print(f"Nothing to compare: {error}", file=sys.stderr)
        return 1
    text = "\n\n".join([title, *sections])
    print(text)
    OUT.mkdir(exist_ok=True)
    (OUT / time.strftime("%Y-%m-%d-%H%M%S.md")).write_text(f"{text}\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, help="rounds that count (9; a third for 600 s)")
    parser.add_argument("--quick", action="store_true", help="3 s and 10 s only, 3 rounds")
    arguments = parser.parse_args()
    if arguments.rounds is None:
        arguments.rounds = 3 if arguments.quick else 9
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    return arguments


def _jservice() -> JService:
    return JService(make_clues(CLUES), serve_after(TRIP_SECONDS))


@contextmanager
def _folder() -> Iterator[Path]:
    """A place that PostgreSQL's account can reach under root."""
    path = Path(tempfile.mkdtemp(prefix="quaver-bench-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def _product(folder: Path, jservice: JService) -> Iterator[Product]:
    """The running product, stopped in any case: also when its start is broken off."""
    _say("starting Quaver")
    product = Product(folder, QUESTION_SOURCES=f"jservice={jservice.url}", **AS_SHIPPED)
    try:
        product.start()
        yield product
    finally:
        if product.is_running():
            product.stop()


def _measure(
    product: Product, jservice: JService, folder: Path, arguments: argparse.Namespace
) -> list[str]:
    """The report's tables."""
    upload = Upload(product)
    contenders = ways.all_ways(upload, folder)
    results, taken = {}, {}
    with watch.peak_memory(product) as peaks:
        for sound in SHORT if arguments.quick else SOUNDS:
            rounds = -(-arguments.rounds // 3) if sound is LONGEST else arguments.rounds
            _say(f"{sound.name}: {rounds} rounds")
            wav = sound.write(folder)
            upload.check(wav, sound)
            results[sound] = watch.race(contenders, wav, rounds)
            if sound is LONGEST:
                taken = _latencies(upload, wav)
            wav.unlink()
    return [
        report.conversions(results),
        *([report.latencies(taken)] if taken else []),
        report.memory(peaks),
        _questions(product, jservice, arguments.rounds),
    ]


def _latencies(upload: Upload, wav: Path) -> dict[str, list[float]]:
    """How long others wait for an answer, with nothing else to do and during a conversion."""
    _say("answers meanwhile")
    product = upload.product
    url = f"{product.url}/health/live"
    until = time.monotonic() + IDLE_SECONDS
    idle = watch.probe(lambda: product.get(url), goes_on=lambda: time.monotonic() < until)
    curl = product.curl_in_background(*upload.arguments(wav))
    busy = watch.probe(lambda: product.get(url), goes_on=lambda: curl.poll() is None)
    product.finish(curl)
    return {"idle": idle, f"while {LONGEST.name} are converted": busy}


def _questions(product: Product, jservice: JService, rounds: int) -> str:
    """Ask for as many as the source gives at a time; it knows many more than will be stored."""
    _say(f"{QUESTIONS} questions: {rounds} rounds")
    seconds, trips = [], []
    for _ in range(1 + rounds):
        before, began = len(jservice.counts), time.perf_counter()
        product.ask("/questions", {"questions_num": QUESTIONS})
        seconds.append(time.perf_counter() - began)
        trips.append(len(jservice.counts) - before)
    return report.questions(seconds[1:], trips[1:], trip_seconds=TRIP_SECONDS)


def _say(text: str) -> None:
    print(f"{text} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
