"""The criterion throughout: audiowaveform's rule, sample frame by sample frame."""

from collections.abc import Iterable, Sequence
from io import BytesIO
from itertools import chain

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests import audio
from tests.audio import Samples
from worker import encode, peaks, segments
from worker.segments import Segment


def drawn(blocks: Iterable[Samples], segment: Segment | None = None) -> list[int]:
    """The pixels' numbers in a row."""
    sink = BytesIO()
    for _ in peaks.watched(blocks, sink, segment):
        pass
    return numbers(sink)


def numbers(sink: BytesIO) -> list[int]:
    return [*np.frombuffer(sink.getvalue(), np.int8).tolist()]


def by_the_rule(samples: Samples) -> list[int]:
    """What `audiowaveform --bits 8 --zoom 256` writes; `int` cuts off as C does."""
    mixed = [int(sum(frame) / len(frame)) for frame in samples.tolist()]
    pixels = [mixed[start : start + 256] for start in range(0, len(mixed), 256)]
    return [int(level / 256) for pixel in pixels for level in (min(pixel), max(pixel))]


def noise(sample_frames: int, channels: int, *, loudest: int = 32_767) -> Samples:
    random = np.random.default_rng(sample_frames)
    shape = (sample_frames, channels)
    return random.integers(-loudest - 1, loudest, shape, np.int16, endpoint=True)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("sample_frames", [1, 255, 256, 257, 1000, 70_000])
@pytest.mark.parametrize("loudest", [0, 600, 32_767])
def test_pixels_are_those_of_audiowaveform(channels: int, sample_frames: int, loudest: int) -> None:
    samples = noise(sample_frames, channels, loudest=loudest)

    assert drawn([samples]) == by_the_rule(samples)


@pytest.mark.parametrize(
    ("frame", "level"),
    [
        ((-32_768, -32_768), -128),
        ((32_767, 32_767), 127),
        ((-32_768, 32_767), 0),
        ((-256, -255), 0),
        ((-256, -256), -1),
        ((255, 256), 0),
        ((256, 256), 1),
        ((-255,), 0),
        ((-256,), -1),
        ((-32_768,), -128),
        ((32_767,), 127),
    ],
)
def test_levels_are_cut_off_towards_zero(frame: Sequence[int], level: int) -> None:
    assert drawn([np.array([frame], np.int16)]) == [level, level]


@given(
    st.lists(st.integers(0, 2_000), max_size=12),
    st.integers(0, 2_000),
    st.integers(1, 2),
)
def test_blocks_of_any_length_give_the_same_pixels(
    cuts: list[int], sample_frames: int, channels: int
) -> None:
    samples = noise(sample_frames, channels)
    blocks = np.split(samples, sorted(cuts))

    assert drawn(blocks) == by_the_rule(samples)


def test_blocks_are_passed_on_as_they_are() -> None:
    blocks = np.array_split(noise(3_000, 2), 7)

    passed = list(peaks.watched(blocks, BytesIO()))

    assert [id(block) for block in passed] == [id(block) for block in blocks]


@given(
    st.integers(55_296, 57_000),
    st.sets(st.integers(1, 6), max_size=3),
    st.sampled_from([4000, 7999, 8000, 22_050, 44_100, 47_999, 48_000, 88_200, 96_000]),
    st.integers(1, 700),
)
@example(sample_frames=55_296, cuts={6}, rate_hz=96_000, blocks=1)
def test_segments_have_the_pixels_of_a_single_pass(
    sample_frames: int, cuts: set[int], rate_hz: int, blocks: int
) -> None:
    samples = noise(sample_frames, 1)
    planned = segments.cut(
        sample_frames,
        [4 * number for number in sorted(cuts)],
        wav_rate_hz=rate_hz,
        mp3_rate_hz=encode.output_rate_hz(rate_hz),
    )

    rows = [
        drawn(np.array_split(samples[each.start : each.stop], blocks), each) for each in planned
    ]

    assert [len(row) / 2 for row in rows] == [len(peaks.pixels(each)) for each in planned]
    assert [*chain(*rows)] == drawn([samples])


def test_the_segments_of_a_long_recording_share_out_all_pixels() -> None:
    planned = segments.plan(7_200 * 44_100 + 1, wav_rate_hz=44_100, mp3_rate_hz=44_100, channels=2)

    pixels = [pixel for segment in planned for pixel in peaks.pixels(segment)]

    assert pixels == list(range(-(-(7_200 * 44_100 + 1) // 256)))


def test_music_is_watched_on_its_way_through_the_encoder() -> None:
    samples = audio.music(1)
    sink = BytesIO()
    blocks = peaks.watched(np.array_split(samples, 9), sink)

    encode.to_mp3(blocks, BytesIO(), sample_rate_hz=44_100, channels=2, quality=2)

    assert numbers(sink) == by_the_rule(samples)
