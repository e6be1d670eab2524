import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import mp3

# MPEG-1 layer III, 128 kbit/s, 44.1 kHz, joint stereo; with its padding byte; at 192 kbit/s.
PLAIN, PADDED, LOUDER = 0xFFFB9064, 0xFFFB9264, 0xFFFBB064

SETTINGS = mp3.Settings(quality=2, source_rate_hz=44_100)


def frame(word: int, filling: bytes = b"\0") -> bytes:
    return word.to_bytes(4, "big").ljust(mp3.parse_header(word).size_bytes, filling)


def bitwise_crc16(data: bytes, crc: int) -> int:
    """The definition: polynomial 0x8005, reflected, a bit at a time."""
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


@pytest.mark.parametrize(
    ("word", "size_bytes", "sample_rate_hz", "channels", "sample_frames"),
    [
        (PLAIN, 417, 44_100, 2, 1152),
        (PADDED, 418, 44_100, 2, 1152),
        (0xFFFBE4C4, 960, 48_000, 1, 1152),
        (0xFFF380C4, 208, 22_050, 1, 576),
        (0xFFE31844, 72, 8_000, 2, 576),
    ],
)
def test_a_frame_header_is_read(
    word: int, size_bytes: int, sample_rate_hz: int, channels: int, sample_frames: int
) -> None:
    header = mp3.parse_header(word)

    assert header.size_bytes == size_bytes
    assert header.sample_rate_hz == sample_rate_hz
    assert header.channels == channels
    assert header.sample_frames == sample_frames


@pytest.mark.parametrize(
    "word",
    [
        0x00000000,
        0xFFFD9064,  # Layer II.
        0xFFEB9064,  # A version that does not exist.
        0xFFFB0064,  # Free format.
        0xFFFBF064,  # A bitrate that does not exist.
        0xFFFB9C64,  # A rate that does not exist.
    ],
)
def test_other_headers_are_refused(word: int) -> None:
    with pytest.raises(mp3.BrokenFrame):
        mp3.parse_header(word)


@given(
    st.lists(st.sampled_from([PLAIN, PADDED, LOUDER]), max_size=8),
    st.lists(st.integers(0, 4000), max_size=8),
)
def test_frames_are_found_however_the_stream_is_cut(words: list[int], cuts: list[int]) -> None:
    frames = [frame(word) for word in words]
    stream = b"".join(frames)
    places = [0, *sorted(cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(places)]
    framer = mp3.Framer()

    found = [whole for piece in pieces for whole in framer.feed(piece)]

    assert found == frames


def test_an_account_adds_up() -> None:
    frames = [frame(PLAIN), frame(LOUDER), frame(PADDED)]
    account = mp3.Account()

    account.add(frames[:1])
    account.add([])
    account.add(frames[1:])

    assert account.first == mp3.parse_header(PLAIN)
    assert list(account.sizes) == [417, 626, 418]
    assert account.size_bytes == 417 + 626 + 418
    assert account.crc == bitwise_crc16(b"".join(frames), 0)


@given(st.binary(max_size=5000), st.integers(0, 0xFFFF))
def test_the_fast_crc_is_the_slow_one(data: bytes, crc: int) -> None:
    assert mp3.crc16(data, crc) == bitwise_crc16(data, crc)


def test_the_crc_goes_on_over_pieces_of_any_size() -> None:
    data = bytes(range(256)) * 600

    assert mp3.crc16(data[70_001:], mp3.crc16(data[:70_001])) == mp3.crc16(data)
    assert mp3.crc16(b"123456789") == 0xBB3D  # CRC-16/ARC's check value.


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_crcs_of_neighbours_are_joined(left: bytes, right: bytes) -> None:
    joined = mp3.crc16_joined(mp3.crc16(left), mp3.crc16(right), len(right))

    assert joined == mp3.crc16(left + right)


def test_the_seek_table_points_at_frames() -> None:
    """Ten frames, the second half of them twice as large."""
    account = mp3.Account()
    account.add([frame(PLAIN)] * 50 + [frame(LOUDER)] * 50)

    table = mp3.seek_table(account.sizes, header_bytes=417)

    assert len(table) == 100
    total = 417 + 50 * 417 + 50 * 626
    assert list(table) == [
        (417 + min(n, 50) * 417 + max(n - 50, 0) * 626) * 256 // total for n in range(100)
    ]


@pytest.mark.parametrize("sample_rate_hz", mp3.SAMPLE_RATES_HZ)
@pytest.mark.parametrize("channels", [1, 2])
def test_the_header_frame_has_the_size_that_was_reserved(
    sample_rate_hz: int, channels: int
) -> None:
    header = mp3.plain_header(sample_rate_hz, channels)
    account = mp3.Account()
    account.add([header.word.to_bytes(4, "big").ljust(header.size_bytes, b"\0")] * 3)

    built = mp3.header_frame(account, header.sample_frames, SETTINGS)

    assert len(built) == mp3.header_frame_bytes(sample_rate_hz, channels)
    assert mp3.parse_header(int.from_bytes(built[:4], "big")).size_bytes == len(built)


def test_the_header_frame_says_what_lame_says() -> None:
    """The fields of the tag, at the places that "Mp3 Info Tag revision 1" gives them."""
    account = mp3.Account()
    account.add([frame(PLAIN)] * 10)

    built = mp3.header_frame(account, 10_000, SETTINGS)

    tag = built[36:]
    assert tag[:4] == b"Xing"
    assert struct.unpack(">III", tag[4:16]) == (15, 10, len(built) + 4170)
    assert tag[116:120] == (80).to_bytes(4, "big")
    assert tag[120:129] == b"LAME3.100"
    assert tag[129] == 0x04  # VBR, method mtrh.
    assert tag[130] == 185  # Lowpass at 18.5 kHz.
    assert tag[139] == 0x35
    assert int.from_bytes(tag[141:144], "big") == 576 << 12 | 10 * 1152 - 576 - 10_000
    assert tag[144] == 0x4D
    assert struct.unpack(">H", tag[146:148]) == (480,)
    assert struct.unpack(">I", tag[148:152]) == (len(built) + 4170,)
    assert struct.unpack(">H", tag[152:154]) == (account.crc,)
    assert struct.unpack(">H", tag[154:156]) == (bitwise_crc16(built[:190], 0),)


def test_nothing_has_no_header() -> None:
    with pytest.raises(mp3.BrokenFrame):
        mp3.header_frame(mp3.Account(), 0, SETTINGS)
