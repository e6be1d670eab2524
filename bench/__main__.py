"""Measure the whole product, as `run.py` starts it, beside the usual ways from WAV to MP3.

All is measured in one run on one machine, so that the ratios mean something where the times do
not. The report goes to standard output and, with its chart, to `bench/out/`.
"""

import argparse
import signal
import sys
import time
from pathlib import Path

from bench import chart, report, services, ways
from bench.connection import WrongAnswer
from bench.figures import Figures
from bench.parts import PARTS, QUICK_PARTS, TRIP_SECONDS, Bench
from tests import folders
from tests.jservice import JService, make_clues, serve_after

OUT = Path(__file__).parent / "out"
PUBLISHED = Path(__file__).parent / "results"
"""What the README shows."""

CLUES = 20_000


def main() -> int:
    arguments = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Also where a shell's `&` has left SIGINT ignored: what was started is to be stopped.
        signal.signal(number, signal.default_int_handler)
    machine = f"{report.machine()}, {ways.versions()}"
    try:
        figures = _measure(arguments)
    except KeyboardInterrupt:
        return 130
    except WrongAnswer as error:
        print(f"Nothing to compare: {error}", file=sys.stderr)
        return 1
    text = report.whole(figures, machine)
    print(text)
    _save(figures, text, OUT, time.strftime("%Y-%m-%d-%H%M%S"))
    if arguments.publish:
        _save(figures, text, PUBLISHED, "speed")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--rounds", type=int, help="rounds that count (9; a third for 600 s)")
    parser.add_argument("--quick", action="store_true", help="3 s and 10 s only, 3 rounds")
    parser.add_argument(
        "--publish", action="store_true", help=f"save to bench/{PUBLISHED.name}/ as well"
    )
    arguments = parser.parse_args()
    arguments.parts = arguments.parts or (QUICK_PARTS if arguments.quick else list(PARTS))
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}")
    if arguments.rounds is None:
        arguments.rounds = 3 if arguments.quick else 9
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    return arguments


def _measure(arguments: argparse.Namespace) -> Figures:
    figures = Figures()
    with (
        JService(make_clues(CLUES), serve_after(TRIP_SECONDS)) as jservice,
        folders.temporary() as folder,
        services.quaver(folder / "quaver", QUESTION_SOURCES=f"jservice={jservice.url}") as quaver,
        services.plain(folder / "plain") as plain,
    ):
        bench = Bench(figures, folder, arguments.rounds, arguments.quick, quaver, plain, jservice)
        for name in arguments.parts:
            PARTS[name](bench)
    return figures


def _save(figures: Figures, text: str, folder: Path, name: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.md").write_text(f"{text}\n")
    if figures.races:
        chart.draw(figures, folder / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
