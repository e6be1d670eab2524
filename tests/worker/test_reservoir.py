import random

from hypothesis import given
from hypothesis import strategies as st

from worker import mp3, reservoir
from worker.reservoir import Frame, Loaded

MPEG1, MPEG2 = 0xFFFB0064, 0xFFF30064
"""Joint stereo at 44.1 and at 22.05 kHz, with no bitrate yet."""

KBPS_32, KBPS_128, KBPS_320 = 1, 9, 14


def loaded(begin: int, data: bytes, bitrate: int, *, base: int = MPEG1, spare: int = 0) -> Loaded:
    """A frame with all of this main data but the `spare` last bytes, which are stuffing."""
    word = base | bitrate << 12
    header = mp3.parse_header(word)
    count, width, begin_bits = (4, 59, 20) if header.is_mpeg1 else (2, 63, 10)
    bits = 8 * (len(data) - spare)
    shares = [bits // count] * (count - 1) + [bits - bits // count * (count - 1)]
    granules = "".join(f"{share:012b}".ljust(width, "0") for share in shares)
    fields = f"{begin:0{9 if header.is_mpeg1 else 8}b}".ljust(begin_bits, "0") + granules
    side_info = int(fields, 2).to_bytes(header.side_info_bytes, "big")
    return Loaded(Frame(word.to_bytes(4, "big") + side_info), data)


def fill(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def repacked(left: list[Loaded], right: list[Loaded], rest: bytes) -> list[Loaded] | None:
    """What is found in the packed frames, where `left` had its main data before them."""
    packed = reservoir.packed(left, right, rest)
    if packed is None:
        return None
    outside = left[0].frame.begin
    before = b"".join(each.data for each in left).ljust(outside, b"\0")[:outside]
    frames = mp3.Framer().feed(packed)
    found, found_rest = reservoir.unpacked(before, frames, len(rest))
    assert found_rest == rest
    assert [each.content for each in found] == [each.content for each in left + right]
    return found


def bitrates(found: list[Loaded] | None) -> list[int]:
    return [each.frame.header.word >> 12 & 15 for each in found or []]


def begins(found: list[Loaded] | None) -> list[int]:
    return [each.frame.begin for each in found or []]


SLOT = loaded(0, b"", KBPS_128).frame.slot_bytes


def test_what_fits_is_left_as_it_is() -> None:
    left = [loaded(0, fill(SLOT - 100), KBPS_128)]
    right = [loaded(80, fill(SLOT), KBPS_128), loaded(80, fill(SLOT), KBPS_128)]

    found = repacked(left, right, fill(80))

    assert bitrates(found) == [KBPS_128] * 3
    assert begins(found) == [0, 80, 80]


def test_stuffing_makes_room() -> None:
    left = [loaded(0, fill(SLOT), KBPS_128, spare=100)]

    found = repacked(left, [loaded(100, fill(SLOT), KBPS_128)], fill(100))

    assert bitrates(found) == [KBPS_128] * 2


def test_a_frame_takes_a_larger_bitrate_to_make_room() -> None:
    left = [loaded(0, fill(SLOT), KBPS_128)]

    found = repacked(left, [loaded(300, fill(SLOT), KBPS_128)], fill(300))

    assert bitrates(found) == [12, KBPS_128]
    assert begins(found) == [0, 300]


def test_room_is_made_several_frames_ahead() -> None:
    full = loaded(0, b"", KBPS_320).frame.slot_bytes
    left = [loaded(0, fill(SLOT), KBPS_128), *[loaded(0, fill(full), KBPS_320)] * 3]

    found = repacked(left, [loaded(200, fill(full), KBPS_320)], fill(200))

    assert bitrates(found) == [11, KBPS_320, KBPS_320, KBPS_320, KBPS_320]
    assert begins(found)[-1] == 200


def test_the_right_side_makes_up_for_what_the_left_has_not() -> None:
    full = loaded(0, b"", KBPS_320).frame.slot_bytes
    right = [
        loaded(200, fill(full), KBPS_320),
        loaded(200, fill(SLOT), KBPS_128),
        loaded(200, fill(SLOT), KBPS_128),
    ]

    found = repacked([loaded(0, fill(full - 50), KBPS_320)], right, fill(200))

    assert begins(found) == [0, 50, 50, 200]
    assert bitrates(found) == [KBPS_320, KBPS_320, 11, KBPS_128]


def test_where_there_is_no_room_there_is_none() -> None:
    full = loaded(0, b"", KBPS_320).frame.slot_bytes
    frame = loaded(0, fill(full), KBPS_320)

    assert repacked([frame], [loaded(200, fill(full), KBPS_320)], fill(200)) is None


def test_nothing_is_put_before_the_first_slot() -> None:
    """Empty frames of 32 kbit/s, with more room before them than the right side wants."""
    left = [loaded(500, b"" if n else bytes(429), KBPS_32) for n in range(2)]

    found = repacked(left, [loaded(400, b"", KBPS_32)], fill(400))

    assert bitrates(found)[0] == KBPS_32
    assert bitrates(found)[1] > KBPS_32


def test_main_data_before_the_first_slot_stays_where_it_is() -> None:
    """There a step of the first frame's bitrate would push the second one's beyond 511 bytes."""
    small, full = (loaded(0, b"", kbps).frame.slot_bytes for kbps in (KBPS_32, KBPS_320))
    left = [loaded(500, fill(small), KBPS_32), loaded(500, fill(full + 500), KBPS_320)]

    assert repacked(left, [loaded(5, fill(full), KBPS_320)], fill(5)) is None


@st.composite
def streams(draw: st.DrawFn, base: int) -> tuple[list[Loaded], bytes]:
    """Frames in a row of any bitrates, as full as they happen to be, and what waits behind."""
    most = loaded(0, b"", 1, base=base).frame.most_back
    room = draw(st.integers(0, most))
    frames = []
    for _ in range(draw(st.integers(1, 8))):
        bitrate = draw(st.integers(1, 14))
        slot = loaded(0, b"", bitrate, base=base).frame.slot_bytes
        size = room + slot - draw(st.integers(0, min(most, room + slot)))
        spare = draw(st.integers(0, size))
        data = draw(st.randoms(use_true_random=False)).randbytes(size)
        used = min(size - spare, 800)
        frames.append(loaded(room, data, bitrate, base=base, spare=size - used))
        room += slot - size
    return frames, fill(room)


@given(st.data())
def test_main_data_survives_whatever_is_joined(data: st.DataObject) -> None:
    base = data.draw(st.sampled_from([MPEG1, MPEG2]))
    left, _ = data.draw(streams(base))
    right, rest = data.draw(streams(base))

    found = repacked(left, right, rest)

    if found is not None:
        both = zip([*left, *right], found, strict=True)
        assert all(new.frame.header.size_bytes >= old.frame.header.size_bytes for old, new in both)


@given(st.data())
def test_neighbours_that_fit_are_not_touched(data: st.DataObject) -> None:
    frames, rest = data.draw(streams(MPEG1))
    place = data.draw(st.integers(1, len(frames)))

    found = repacked(frames[:place], frames[place:], rest)

    assert begins(found)[:place] == begins(frames)[:place]
    assert bitrates(found)[: place - 1] == bitrates(frames)[: place - 1]
