from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import encode, mp3, segments
from worker.segments import EDGE_FRAMES, LEAD_IN_FRAMES, LOOKAHEAD_FRAMES, Segment

HOUR = 3600


def plan(sample_frames: int, rate_hz: int, channels: int = 2) -> list[Segment]:
    return segments.plan(
        sample_frames,
        wav_rate_hz=rate_hz,
        mp3_rate_hz=encode.output_rate_hz(rate_hz),
        channels=channels,
    )


@given(
    st.integers(1, 10 * HOUR * 44_100),
    st.sampled_from([4000, 8000, 22_050, 44_100, 48_000, 50_000, 88_200, 96_000, 768_000]),
    st.integers(1, 2),
)
def test_segments_follow_one_another_to_the_end(
    sample_frames: int, rate_hz: int, channels: int
) -> None:
    planned = plan(sample_frames, rate_hz, channels)

    first, last = planned[0], planned[-1]
    assert [segment.index for segment in planned] == list(range(len(planned)))
    assert (first.start, first.encoder_frame, first.first_frame) == (0, 0, 0)
    assert (last.stop, last.stop_frame) == (sample_frames, None)
    assert (first.body_start, last.body_stop) == (0, sample_frames)
    for one, other in pairwise(planned):
        assert one.stop_frame == other.first_frame >= one.first_frame + EDGE_FRAMES
        assert other.start < one.body_stop == other.body_start < one.stop


@given(
    st.integers(1, 10 * HOUR * 44_100),
    st.sampled_from([8000, 22_050, 44_100, 47_999, 48_048, 88_200, 96_000]),
    st.integers(1, 2),
)
def test_a_segment_reads_its_own_part_with_what_lies_around_it(
    sample_frames: int, rate_hz: int, channels: int
) -> None:
    mp3_rate_hz = encode.output_rate_hz(rate_hz)
    per_frame = mp3.plain_header(mp3_rate_hz, channels).sample_frames

    for segment in plan(sample_frames, rate_hz, channels):
        resampled_from = segment.encoder_frame * per_frame - segment.skip
        assert segment.start * mp3_rate_hz == resampled_from * rate_hz
        assert 0 <= segment.skip < mp3_rate_hz
        lead_in = segment.first_frame - segment.encoder_frame
        assert lead_in == min(LEAD_IN_FRAMES, segment.first_frame)
        if segment.stop_frame is not None and segment.stop < sample_frames:
            heard = segment.stop * mp3_rate_hz / rate_hz / per_frame
            assert 0 <= heard - segment.stop_frame - LOOKAHEAD_FRAMES < 1


@pytest.mark.parametrize(
    ("seconds", "rate_hz", "channels", "count"),
    [
        (100, 44_100, 2, 1),
        (101, 44_100, 2, 2),
        (150, 44_100, 2, 2),
        (151, 44_100, 2, 3),
        (200, 44_100, 1, 1),
        (201, 44_100, 1, 2),
        (3600, 44_100, 2, 71),
    ],
)
def test_a_segment_is_half_a_second_of_work(
    seconds: int, rate_hz: int, channels: int, count: int
) -> None:
    assert len(plan(seconds * rate_hz, rate_hz, channels)) == count


@given(st.integers(1, 100 * 44_100), st.integers(1, 16))
def test_encoders_that_start_together_have_equal_work(sample_frames: int, encoders: int) -> None:
    planned = segments.plan_at_once(
        sample_frames, wav_rate_hz=44_100, mp3_rate_hz=44_100, encoders=encoders
    )

    assert 1 <= len(planned) <= encoders
    assert [segment.index for segment in planned] == list(range(len(planned)))
    work = [segment.stop - segment.start for segment in planned]
    assert max(work) - min(work) <= (len(planned) + LOOKAHEAD_FRAMES) * 1152
    for one, other in pairwise(planned):
        assert one.stop_frame == other.first_frame >= one.first_frame + EDGE_FRAMES


@pytest.mark.parametrize(("seconds", "count"), [(5.8, 1), (5.9, 2), (7.6, 3), (10, 4), (60, 4)])
def test_short_sounds_are_for_few_encoders(seconds: float, count: int) -> None:
    sample_frames = round(seconds * 44_100)

    planned = segments.plan_at_once(
        sample_frames, wav_rate_hz=44_100, mp3_rate_hz=44_100, encoders=4
    )

    assert len(planned) == count


def test_a_segment_goes_through_json() -> None:
    for segment in plan(HOUR * 44_100, 44_100)[::35]:
        assert Segment.from_json(segment.to_json()) == segment
