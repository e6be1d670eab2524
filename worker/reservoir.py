"""MP3 frames taken apart and packed again, with main data where the bit reservoir has room.

A frame is a header, side info and a slot for main data. Its own main data begins
`main_data_begin` bytes before its slot, in the slots of frames before it, and ends in its slot at
the latest. So the slots of all frames in a row are one stream, in which each frame has a stretch.

Sources: ISO/IEC 11172-3 2.4.1.7 and 2.4.2.7, ISO/IEC 13818-3 2.4.1.7 (MPEG-2, and 2.5 like it).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

from worker import mp3

MOST_BACK_BYTES = 511
"""As far as main_data_begin reaches in MPEG-1; 255 in MPEG-2."""

_WORD_BYTES = 4
_HIGHEST_BITRATE = 14
_GRANULE_SAMPLES = 576

_FIELDS = {True: (29, 34, 59), False: (29, 39, 63)}
"""In MPEG-1 or not, bits of one channel's side info of a granule up to the end of global_gain
(behind part2_3_length and big_values), up to the end of window_switching_flag (behind
scalefac_compress; block_type follows), and in all."""


@dataclass(frozen=True)
class Granule:
    """What side info says of one granule of one channel, as far as a join has to know."""

    bits: int
    """part2_3_length: of main data, scale factors and Huffman codes."""
    gain: int
    block_type: int
    """0 for long blocks, 2 for short ones, 1 and 3 on the way there and back."""


class Frame:
    """A frame's header and side info."""

    def __init__(self, data: bytes) -> None:
        self.header = mp3.parse_header(int.from_bytes(data[:_WORD_BYTES], "big"))
        size = self.header.side_info_bytes
        self.side_info = int.from_bytes(data[_WORD_BYTES : _WORD_BYTES + size], "big")

    @property
    def slot_bytes(self) -> int:
        return self.header.size_bytes - _WORD_BYTES - self.header.side_info_bytes

    @property
    def begin(self) -> int:
        """main_data_begin: how many bytes before its slot the frame's main data begins."""
        return self.side_info >> self._bits_behind_begin

    @property
    def most_back(self) -> int:
        return MOST_BACK_BYTES if self.header.is_mpeg1 else MOST_BACK_BYTES // 2

    @property
    def says(self) -> tuple[int, int]:
        """All that decoding its main data depends on, but not where it begins."""
        mode_extension = self.header.word >> 4 & 0b11
        return mode_extension, self.side_info & (1 << self._bits_behind_begin) - 1

    @cached_property
    def granules(self) -> list[Granule]:
        """In their order: the channels of the first granule, then those of the second."""
        gain_end, flag_end, width = _FIELDS[self.header.is_mpeg1]
        count = self.header.channels * self.header.sample_frames // _GRANULE_SAMPLES
        found = []
        for end in reversed(range(0, count * width, width)):
            fields = self.side_info >> end & (1 << width) - 1
            switched = fields >> width - flag_end & 1
            found.append(
                Granule(
                    bits=fields >> width - 12,
                    gain=fields >> width - gain_end & 0xFF,
                    block_type=fields >> width - flag_end - 2 & 0b11 if switched else 0,
                )
            )
        return found

    @property
    def main_data_bits(self) -> int:
        return sum(granule.bits for granule in self.granules)

    @property
    def _bits_behind_begin(self) -> int:
        return 8 * self.header.side_info_bytes - (9 if self.header.is_mpeg1 else 8)

    def larger_slots(self) -> list[tuple[int, int]]:
        """Header and slot size in bytes at its own bitrate and at those above, in this order."""
        rest = self.header.size_bytes - self.slot_bytes
        others = self.header.word & ~(0b1111 << 12)
        indices = range(self.header.word >> 12 & 0b1111, _HIGHEST_BITRATE + 1)
        words = [others | index << 12 for index in indices]
        return [(word, mp3.parse_header(word).size_bytes - rest) for word in words]

    def built(self, word: int, begin: int, slot: bytes) -> bytes:
        """The frame with another header and main_data_begin, around this slot."""
        side_info = begin << self._bits_behind_begin | self.says[1]
        size = self.header.side_info_bytes
        return word.to_bytes(_WORD_BYTES, "big") + side_info.to_bytes(size, "big") + slot


@dataclass(frozen=True)
class Loaded:
    """A frame with its main data, wherever that was."""

    frame: Frame
    data: bytes
    """Main data and the stuffing behind it, up to where that of the next frame begins."""

    @property
    def used_bytes(self) -> int:
        """Without the stuffing."""
        return -(-self.frame.main_data_bits // 8)

    @property
    def content(self) -> tuple[tuple[int, int], int]:
        """Equal in two frames that decode to the same."""
        data = int.from_bytes(self.data[: self.used_bytes], "big")
        return self.frame.says, data >> -self.frame.main_data_bits % 8


def unpacked(before: bytes, frames: Sequence[bytes], begin: int) -> tuple[list[Loaded], bytes]:
    """Frames with their main data, and what their slots hold of the main data of those behind.

    `before` is what the slots before them end with, `begin` the next frame's main_data_begin.
    """
    read = [Frame(frame) for frame in frames]
    stream = before + b"".join(map(slot, frames))
    ends = accumulate((frame.slot_bytes for frame in read), initial=len(before))
    begins = [*(frame.begin for frame in read), begin]
    starts = [end - back for end, back in zip(ends, begins, strict=True)]
    loaded = [
        Loaded(frame, stream[start:stop])
        for frame, (start, stop) in zip(read, pairwise(starts), strict=True)
    ]
    return loaded, stream[starts[-1] :]


def slot(frame: bytes) -> bytes:
    """The part of a frame that holds main data, its own or that of others."""
    return frame[_WORD_BYTES + Frame(frame).header.side_info_bytes :]


def packed(left: Sequence[Loaded], right: Sequence[Loaded], rest: bytes) -> bytes | None:
    """The frames of `left` and then those of `right`, with `rest` at the end of their slots.

    The main data of `left` goes where it was: what of it lies before the first slot stays there.
    That of `right` is as far before its slots as it was, so that its frames are as they were too,
    except where there is no room for that: then the frames before take larger bitrates, and if
    these do not suffice, it begins later until its own frames have made up for it.

    None if that is never before `rest`.
    """
    frames = [loaded.frame for loaded in (*left, *right)]
    pieces = _pieces(left, right)
    most_back = [loaded.frame.most_back for loaded in left]
    most_back += [loaded.frame.begin for loaded in right]
    wanted = _wanted(left, pieces, [*most_back[len(left) :], len(rest)])
    outside = room = left[0].frame.begin
    stream = bytearray()
    places = []
    for frame, piece, most, wanted_next in zip(frames, pieces, most_back, wanted, strict=True):
        begin = min(room, most)
        if begin < room and len(stream) < outside:
            return None  # It would move what lies before the first slot.
        stream += bytes(room - begin) + piece
        word, size = _smallest(frame, wanted_next + len(piece) - begin)
        room = begin + size - len(piece)
        if room < 0:
            return None
        places.append((frame, word, begin, size))
    if room < len(rest):
        return None
    stream += bytes(room - len(rest)) + rest
    return _written(places, bytes(stream[outside:]))


def _pieces(left: Sequence[Loaded], right: Sequence[Loaded]) -> list[bytes]:
    """The main data of the frames; the last of `left` without stuffing, which makes room.

    Nothing of `right` can go before the first slot: small frames may have that much room there.
    """
    outside = left[0].frame.begin
    pieces = [loaded.data for loaded in left[:-1]]
    fill = outside - sum(map(len, pieces))
    pieces.append(left[-1].data[: left[-1].used_bytes].ljust(max(fill, 0), b"\0"))
    return pieces + [loaded.data for loaded in right]


def _wanted(left: Sequence[Loaded], pieces: Sequence[bytes], right: list[int]) -> list[int]:
    """How much of the slots each frame is to leave to those behind it, planned backwards.

    `right` is the same for the last frame of `left` and those behind it.
    """
    wanted = right[:1]
    for loaded, piece in reversed(list(zip(left, pieces, strict=False))[1:]):
        _, most = loaded.frame.larger_slots()[-1]
        wanted.append(min(max(0, wanted[-1] + len(piece) - most), loaded.frame.most_back))
    return wanted[::-1] + right[1:]


def _smallest(frame: Frame, needed: int) -> tuple[int, int]:
    """Header and size of the smallest slot that has so many bytes, or of the largest."""
    slots = frame.larger_slots()
    return next((each for each in slots if each[1] >= needed), slots[-1])


def _written(places: Sequence[tuple[Frame, int, int, int]], slots: bytes) -> bytes:
    written = []
    start = 0
    for frame, word, begin, size in places:
        written.append(frame.built(word, begin, slots[start : start + size]))
        start += size
    return b"".join(written)
