import pytest

from bench.figures import Figures, Overhead, Result, Rush, percentile
from bench.sounds import Sound


def test_a_ratio_is_the_median_of_the_ratios_within_a_round() -> None:
    post = Result([0.1, 0.3, 0.2])
    ffmpeg = Result([0.2, 1.2, 0.3])

    assert post.ratio(ffmpeg) == 0.5


def test_ways_of_different_rounds_are_not_compared() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Result([0.1, 0.2]).ratio(Result([0.1]))


def test_a_crowd_is_served_when_the_last_client_is() -> None:
    rush = Rush(Sound(10), at_once=4, rounds=[[0.5, 1, 2, 1], [3, 4, 4, 1], [1, 1, 1, 1]])

    assert rush.seconds == [2, 4, 1]
    assert rush.recordings_per_second == 2
    assert rush.times_real_time == 20


def test_overhead_is_the_wait_beyond_the_encoding_of_the_same_round() -> None:
    overhead = Overhead(Sound(10), {"Quaver": [0.15, 0.5, 0.2]}, lame=[0.125, 0.25, 0.1])

    assert overhead.seconds("Quaver") == pytest.approx(0.1)


def test_a_peak_of_the_run_is_the_highest_of_its_parts() -> None:
    figures = Figures(memory={"one": {"API": 80, "Flower": 90}, "many": {"API": 85}})

    assert figures.peaks() == {"API": 85, "Flower": 90}


def test_a_percentile_may_lie_between_two_values() -> None:
    assert percentile([0, 1, 2, 3], 50) == 1.5
    assert percentile([7], 99) == 7
