"""Harm the real product under load, and see that it keeps its promises: `make faults`."""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.faults import report
from tests.faults.campaign import Campaign, Round
from tests.faults.nemeses import NEMESES, QUICK, Nemesis
from tests.faults.world import World

PUBLISHED = Path(__file__).with_name("results.md")
"""What the README shows."""

RANDOM_ROUNDS = 5
MOST_AT_ONCE = 3


def main() -> int:
    arguments = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    began = time.monotonic()
    rounds: list[Round] = []
    try:
        for seed in arguments.seeds:
            rounds.extend(_campaign(seed, arguments))
            if arguments.publish:
                text = report.whole(rounds, time.monotonic() - began)
                PUBLISHED.write_text(f"# What the product survived\n\n{text}\n")
    except KeyboardInterrupt:
        print("broken off", file=sys.stderr)
    print(report.whole(rounds, time.monotonic() - began))
    return 1 if any(each.violations for each in rounds) else 0


def _campaign(seed: int, arguments: argparse.Namespace) -> Iterator[Round]:
    """In a world of its own."""
    print(f"seed {seed}", file=sys.stderr)
    with folder() as path, World(path) as world:
        campaign = Campaign(world, seed)
        for name, nemeses in _orders(seed, arguments):
            print(f"{name} ...", file=sys.stderr, flush=True)
            found = campaign.play(name, nemeses)
            yield found
            for violation in found.violations:
                print(f"  VIOLATED: {violation}", file=sys.stderr, flush=True)
            if found.violations and arguments.fail_fast:
                return


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("nemeses", nargs="*", help="by name; all if none is named")
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[Random().randrange(1 << 32)],
        help="one after another",
    )
    parser.add_argument("--random", type=int, default=RANDOM_ROUNDS, help="rounds of several")
    parser.add_argument("--quick", action="store_true", help="one of each kind, none random")
    parser.add_argument("--publish", action="store_true", help=f"save to {PUBLISHED.name}")
    parser.add_argument("--fail-fast", action="store_true", help="end at the first violation")
    arguments = parser.parse_args()
    if unknown := set(arguments.nemeses) - set(NEMESES):
        parser.error(f"no such nemesis: {', '.join(sorted(unknown))}")
    return arguments


def _orders(seed: int, arguments: argparse.Namespace) -> Iterator[tuple[str, Sequence[Nemesis]]]:
    """What each round is to strike with."""
    names = arguments.nemeses or (QUICK if arguments.quick else NEMESES)
    for name in names:
        yield name, [NEMESES[name]]
    random = Random(seed)
    for number in range(0 if arguments.quick or arguments.nemeses else arguments.random):
        chosen = random.sample(sorted(NEMESES), random.randint(2, MOST_AT_ONCE))
        yield f"{number + 1}: {', then '.join(chosen)}", [NEMESES[name] for name in chosen]


@contextmanager
def folder() -> Iterator[Path]:
    """A place that PostgreSQL's account can reach under root."""
    path = Path(tempfile.mkdtemp(prefix="quaver-faults-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
