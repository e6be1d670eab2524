from pathlib import Path
from threading import Barrier

from bench import load
from bench.sounds import Sound
from bench.ways import Way


def test_a_crowd_is_served_as_many_at_a_time_as_was_said() -> None:
    pair = Barrier(2, timeout=10)
    way = Way("way", lambda _: pair.wait())

    taken = load.crowd(way, Path("in.wav"), clients=8, at_once=2)

    assert len(taken) == 8
    assert pair.n_waiting == 0


def test_crowds_take_turns_and_the_first_round_does_not_count(tmp_path: Path) -> None:
    served: list[str] = []

    def way(name: str) -> Way:
        def convert(_: Path) -> int:
            served.append(name)
            return 0

        return Way(name, convert)

    one, two = way("one"), way("two")

    rushes = load.rushes({one: 1, two: 1}, Sound(1), tmp_path, clients=2, rounds=2)

    assert served == ["one", "one", "two", "two"] * 3
    assert [len(rush.rounds) for rush in rushes.values()] == [2, 2]
    assert rushes["two"].clients == 2
