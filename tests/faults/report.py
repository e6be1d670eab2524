"""What campaigns came to, as Markdown: by kinds of faults, and each by itself.

`python -m tests.faults.report FILES` is about several of them, each saved by its run.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from bench.markdown import table
from tests.faults.campaign import Round
from tests.faults.nemeses import KINDS
from tests.faults.violations import Kind, Violation

SEVERAL = "several of them, one after the other"
_HEAD = [
    *("rounds", "under way", "accepted", "settled", "of them failed"),
    *("lost", "doubled", "otherwise wrong", "recovery, s"),
]


def to_json(rounds: Sequence[Round], seconds: float) -> str:
    """A campaign of so many seconds, for a report about several."""
    return json.dumps({"seconds": seconds, "rounds": [asdict(each) for each in rounds]})


COLUMNS = (
    "*Under way* are the requests that met the fault. Only questions fail, when their source does, "
    "and with the reason. *Recovery* is the longest time after a fault that anything accepted "
    "before took, with a lease of 5 seconds; after a full disk the next try comes after 20."
)


def of_files(paths: Sequence[Path]) -> str:
    """Both tables, for all campaigns together."""
    campaigns = [json.loads(path.read_text()) for path in paths]
    rounds = [_round(**values) for campaign in campaigns for values in campaign["rounds"]]
    return whole(rounds, sum(campaign["seconds"] for campaign in campaigns))


def _round(*, violations: Sequence[tuple[str, str]], **values: Any) -> Round:
    return Round(violations=[Violation(Kind(kind), what) for kind, what in violations], **values)


def whole(rounds: Sequence[Round], seconds: float) -> str:
    """Both tables."""
    seeds = list(dict.fromkeys(str(each.seed) for each in rounds))
    ran = f"Seeds {', '.join(seeds)}; {seconds / 60 / max(1, len(seeds)):.0f} minutes each."
    return "\n\n".join([by_kind(rounds), COLUMNS, ran, "## Each by itself", in_detail(rounds)])


def by_kind(rounds: Sequence[Round]) -> str:
    """A row for each kind."""
    return table(
        ["what was harmed", "ways", *_HEAD],
        [
            [kind, f"{len({each.name for each in group})}", *_sums(group)]
            for kind, group in _kinds(rounds)
        ],
    )


def in_detail(rounds: Sequence[Round]) -> str:
    """A row for each fault."""
    ordered = [each for _, group in _kinds(rounds) for each in group]
    faults = [list(group) for _, group in groupby(ordered, key=attrgetter("name"))]
    return table(["fault", *_HEAD], [[_name(fault), *_sums(fault)] for fault in faults])


def _kinds(rounds: Sequence[Round]) -> Iterator[tuple[str, list[Round]]]:
    """Each kind with its rounds, those of one fault together."""
    kinds = {nemesis.name: kind for kind, nemeses in KINDS.items() for nemesis in nemeses}
    order = {name: place for place, name in enumerate(kinds)}
    for kind in [*KINDS, SEVERAL]:
        group = [each for each in rounds if kinds.get(each.name, SEVERAL) == kind]
        if group:
            yield kind, sorted(group, key=lambda each: order.get(each.name, len(order)))


def _name(fault: Sequence[Round]) -> str:
    reasons = sorted({each.spared for each in fault if each.spared})
    return f"{fault[0].name} (spared: {', '.join(reasons)})" if reasons else fault[0].name


def _sums(group: Sequence[Round]) -> list[str]:
    rests = [each.recovery_seconds for each in group if each.recovery_seconds is not None]
    longest = f"{max(rests):.1f}" if len(rests) == len(group) else "never"
    counts = (
        len(group),
        sum(each.under_way for each in group),
        sum(each.accepted for each in group),
        sum(each.settled for each in group),
        sum(each.failed for each in group),
        sum(each.count(Kind.LOST) for each in group),
        sum(each.count(Kind.DOUBLED) for each in group),
        sum(each.count(Kind.UNTRUE, Kind.LEFT) for each in group),
    )
    return [*(f"{count:,}" for count in counts), longest]


if __name__ == "__main__":
    print(f"# What the product survived\n\n{of_files([Path(name) for name in sys.argv[1:]])}")
