from itertools import islice, pairwise, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import mpeg
from worker.mp3 import BrokenFrame

LAYER_2 = 0xFFFDA404
"""MPEG-1, 48 kHz, stereo, 192 kbit/s."""


def frame(word: int = LAYER_2, *, fill: int = 0) -> bytes:
    size_bytes = mpeg.parse_layer_2(word).size_bytes
    return word.to_bytes(4, "big") + bytes([fill]) * (size_bytes - 4)


FRAMES = [frame(fill=fill) for fill in range(1, 9)]
ID3 = b"ID3\4\0\0" + bytes([0, 0, 2, 1]) + bytes(257)


def found(*blocks: bytes) -> list[bytes]:
    return [data for data, _ in mpeg.frames(blocks, mpeg.parse_layer_2)]


@pytest.mark.parametrize(
    ("word", "sample_rate_hz", "channels", "size_bytes"),
    [
        (LAYER_2, 48_000, 2, 576),
        (0xFFFDA004, 44_100, 2, 626),
        (0xFFFDA204, 44_100, 2, 627),
        (0xFFFDEAC4, 32_000, 1, mpeg.MOST_FRAME_BYTES),
        (0xFFF584C4, 24_000, 1, 384),
        (0xFFF5E0C4, 22_050, 1, 1044),
    ],
)
def test_frames_of_layer_2_tell_their_size(
    word: int, sample_rate_hz: int, channels: int, size_bytes: int
) -> None:
    expected = mpeg.Layer2Header(sample_rate_hz, channels, size_bytes, 1152)

    assert mpeg.parse_layer_2(word) == expected


@pytest.mark.parametrize(
    "word",
    [0xFFFB9004, 0xFFFFA404, 0x00000000, 0xFFE5A404, 0xFFFD0404, 0xFFFDF404, 0xFFFDAC04],
    ids=["layer III", "layer I", "none", "MPEG-2.5", "free format", "bitrate 15", "rate 3"],
)
def test_other_frames_are_broken(word: int) -> None:
    with pytest.raises(BrokenFrame):
        mpeg.parse_layer_2(word)


@pytest.mark.parametrize(
    "before",
    [b"", ID3, FRAMES[0][100:], ID3 + FRAMES[0][1:], bytes(500), b"\xff" * 500, b"\xff\xfd\xa4"],
)
@pytest.mark.parametrize(
    "after", [b"", FRAMES[0][:-1], b"TAG" + bytes(125), bytes(200_000), b"\xff" * 5_000]
)
@given(data=st.data())
def test_frames_are_found_among_what_others_put_around_them(
    before: bytes, after: bytes, data: st.DataObject
) -> None:
    stream = before + b"".join(FRAMES) + after
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=5))
    places = [0, *sorted(cuts), len(stream)]

    assert found(*(stream[start:end] for start, end in pairwise(places) if start < end)) == FRAMES


@pytest.mark.parametrize("between", [b"\0", bytes(2_000), bytes(200_000)])
def test_a_gap_is_broken(between: bytes) -> None:
    with pytest.raises(BrokenFrame, match="no layer II frame begins with 00"):
        found(*FRAMES[:3], between, *FRAMES[3:])


@pytest.mark.parametrize("start", [b"", b"\0", ID3, ID3[:50], bytes(5_000), FRAMES[0][9:]])
def test_a_stream_without_frames_is_broken(start: bytes) -> None:
    with pytest.raises(BrokenFrame):
        found(start)


def test_more_rest_than_is_looked_through_is_broken() -> None:
    with pytest.raises(BrokenFrame, match="begins with 00000000"):
        found(*FRAMES, bytes(mpeg.MOST_REST_BYTES))


def test_looking_for_frames_ends() -> None:
    """Each second byte could begin one, and there is more of it than memory may hold."""
    endless = repeat(b"\xff\xfd" * 500_000)

    with pytest.raises(BrokenFrame):
        found(*FRAMES, *islice(endless, 100))


def test_frames_too_far_from_the_start_are_not_looked_for() -> None:
    with pytest.raises(BrokenFrame):
        found(bytes(4_000), *FRAMES)
