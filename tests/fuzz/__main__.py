"""Read a million spoiled inputs: `make fuzz`."""

import argparse
import logging
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from random import Random

from tests.fuzz import mutation
from tests.fuzz.targets import TARGETS

CASES = 1_000_000
SLOWEST_SECONDS = 1.0
"""That a case may take, on whatever else the machine is doing."""

MOST_BYTES = 64 << 20
"""That reading may take, examples included."""

MEMORY_CASES = 2_000
"""In which memory is watched, for that takes time."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; all if none is named")
    parser.add_argument("--cases", type=int, default=CASES, help=f"of all together ({CASES})")
    parser.add_argument(
        "--guided",
        type=int,
        metavar="SECONDS",
        help="for each target, led by coverage; needs atheris",
    )
    parser.add_argument("--seed", type=int, default=Random().randrange(1 << 32))
    arguments = parser.parse_args()
    names = arguments.targets or list(TARGETS)
    if arguments.guided:
        return 0 if all(_fuzz_guided(name, arguments.guided) for name in names) else 1
    logging.disable()  # Parsers tell of everything that they refuse.
    print(f"seed {arguments.seed}")
    for name in names:
        if not _fuzz(name, arguments.cases // len(names) + 1, arguments.seed):
            return 1
    return 0


def _fuzz(name: str, count: int, seed: int) -> bool:
    """Whether all went well; if not, the input is shown."""
    target, began, slowest = TARGETS[name], time.monotonic(), 0.0
    tracemalloc.start()
    for number, data in enumerate(mutation.cases(target.examples, count, seed)):
        if number == MEMORY_CASES:
            tracemalloc.stop()
        case_began = time.monotonic()
        try:
            target.run(data)
        except BaseException:
            print(f"{name}, case {number} of seed {seed}: {data!r}", file=sys.stderr)
            raise
        slowest = max(slowest, time.monotonic() - case_began)
        peak = tracemalloc.get_traced_memory()[1] if tracemalloc.is_tracing() else 0
        if slowest > SLOWEST_SECONDS or peak > MOST_BYTES:
            print(f"{name}, case {number}: {slowest:.2f} s, {peak} bytes: {data!r}")
            return False
    seconds = time.monotonic() - began
    print(f"{name}: {count} cases, {count / seconds:.0f} a second, slowest {1000 * slowest:.0f} ms")
    return True


def _fuzz_guided(name: str, seconds: int) -> bool:
    """Whether all went well; if not, libFuzzer leaves the input in the current folder."""
    limits = (f"-timeout={SLOWEST_SECONDS:.0f}", "-rss_limit_mb=512", "-max_len=16384")
    with tempfile.TemporaryDirectory() as corpus:
        for number, example in enumerate(TARGETS[name].examples):
            Path(corpus, str(number)).write_bytes(example)
        command = [sys.executable, "-m", "tests.fuzz.guided", name, *limits]
        done = subprocess.run([*command, f"-max_total_time={seconds}", corpus], check=False)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
