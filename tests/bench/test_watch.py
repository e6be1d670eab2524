import itertools
import time
from pathlib import Path

from bench import watch
from bench.figures import Result
from bench.ways import Way


def test_ways_take_turns_and_the_first_round_does_not_count() -> None:
    asked: list[str] = []
    seconds = itertools.count()

    def convert(name: str) -> int:
        asked.append(name)
        return 7

    ways = [Way("a", lambda _: convert("a")), Way("b", lambda _: convert("b"))]

    results = watch.race(ways, Path("in.wav"), rounds=2, clock=lambda: float(next(seconds)))

    assert "".join(asked) == "ababab"
    assert results == {name: Result([1.0, 1.0], mp3_bytes=7) for name in "ab"}


def test_a_stalled_answer_counts_for_all_who_would_have_asked_meanwhile() -> None:
    answers = itertools.chain([0.2], itertools.repeat(0))
    turns = iter([True] * 10)

    taken = watch.probe(lambda: time.sleep(next(answers)), goes_on=lambda: next(turns, False))

    assert len(taken) == 10
    assert sum(seconds > 0.1 for seconds in taken) >= 9
