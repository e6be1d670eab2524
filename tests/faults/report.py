"""What a campaign came to, as Markdown: by kinds of faults, and each by itself."""

from collections.abc import Iterator, Sequence

from bench.markdown import table
from tests.faults.campaign import Round
from tests.faults.nemeses import KINDS

SEVERAL = "several of them, one after the other"
_HEAD = ["requests", "accepted", "settled", "of them failed", "violations", "at rest after, s"]


def whole(rounds: Sequence[Round], seed: int, seconds: float) -> str:
    """Both tables."""
    ran = f"Seed {seed}, {seconds / 60:.0f} minutes."
    return "\n\n".join([by_kind(rounds), ran, "## Each by itself", in_detail(rounds)])


def by_kind(rounds: Sequence[Round]) -> str:
    """A row for each kind, as the README has it."""
    rows = [[kind, f"{len(group)}", *_sums(group)] for kind, group in _groups(rounds)]
    return table(["what was harmed", "ways", *_HEAD], rows)


def in_detail(rounds: Sequence[Round]) -> str:
    """A row for each round."""
    return table(["fault", *_HEAD], [[_name(each), *_sums([each])] for each in rounds])


def _groups(rounds: Sequence[Round]) -> Iterator[tuple[str, list[Round]]]:
    single = {nemesis.name: kind for kind, group in KINDS.items() for nemesis in group}
    for kind in [*KINDS, SEVERAL]:
        if group := [each for each in rounds if single.get(each.name, SEVERAL) == kind]:
            yield kind, group


def _name(each: Round) -> str:
    return f"{each.name} (spared: {each.spared})" if each.spared else each.name


def _sums(group: Sequence[Round]) -> list[str]:
    rests = [each.recovery_seconds for each in group if each.recovery_seconds is not None]
    longest = f"{max(rests):.1f}" if len(rests) == len(group) else "never"
    counts = (
        sum(each.operations for each in group),
        sum(each.accepted for each in group),
        sum(each.settled for each in group),
        sum(each.failed for each in group),
        sum(len(each.violations) for each in group),
    )
    return [*(f"{count:,}" for count in counts), longest]
