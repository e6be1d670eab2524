"""Harm the real product under load, and see that it keeps its promises: `make faults`."""

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from tests import folders
from tests.faults import report
from tests.faults.campaign import Campaign, Round
from tests.faults.nemeses import NEMESES, QUICK, Nemesis
from tests.faults.world import World

RANDOM_ROUNDS = 5
MOST_AT_ONCE = 3


def main() -> int:
    arguments = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    print(f"seed {arguments.seed}", file=sys.stderr)
    began = time.monotonic()
    rounds: list[Round] = []
    try:
        rounds.extend(_rounds(arguments))
    except KeyboardInterrupt:
        print("broken off", file=sys.stderr)
    seconds = time.monotonic() - began
    if arguments.save:
        arguments.save.write_text(report.to_json(rounds, seconds))
    print(report.whole(rounds, seconds))
    return 1 if any(each.violations for each in rounds) else 0


def _rounds(arguments: argparse.Namespace) -> Iterator[Round]:
    with folders.temporary() as folder, World(folder) as world:
        campaign = Campaign(world, arguments.seed)
        for name, nemeses in _orders(arguments):
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
    parser.add_argument("--seed", type=int, default=Random().randrange(1 << 32))
    parser.add_argument("--random", type=int, default=RANDOM_ROUNDS, help="rounds of several")
    parser.add_argument("--quick", action="store_true", help="one of each kind, none random")
    parser.add_argument("--save", type=Path, help="a file for `python -m tests.faults.report`")
    parser.add_argument("--fail-fast", action="store_true", help="end at the first violation")
    arguments = parser.parse_args()
    if unknown := set(arguments.nemeses) - set(NEMESES):
        parser.error(f"no such nemesis: {', '.join(sorted(unknown))}")
    return arguments


def _orders(arguments: argparse.Namespace) -> Iterator[tuple[str, Sequence[Nemesis]]]:
    """What each round is to strike with."""
    names = arguments.nemeses or (QUICK if arguments.quick else NEMESES)
    for name in names:
        yield name, [NEMESES[name]]
    random = Random(arguments.seed)
    for number in range(0 if arguments.quick or arguments.nemeses else arguments.random):
        chosen = random.sample(sorted(NEMESES), random.randint(2, MOST_AT_ONCE))
        yield f"{number + 1}: {', then '.join(chosen)}", [NEMESES[name] for name in chosen]


if __name__ == "__main__":
    sys.exit(main())
