"""Neighbouring segments of an MP3 joined at a frame boundary, without encoding anything again.

A frame's main data begins up to 511 bytes before its own slot, in the slots of frames before it:
the bit reservoir. Where a segment gives way to the next one, the bytes that the next one put into
frames which are now dropped must stand at the end of the segment's own slots. `seam` finds the
place near the cut where the two encodes agree best and re-packs the few frames around it; a frame
may take a larger bitrate to make room. Everything else of both segments is used as it is.

::

    joiner = join.Joiner()
    for piece in pieces:                  # in order; bodies stay where they are stored
        seam = joiner.add(piece.ends)     # goes before the piece's body; b"" for the first
    header, made = encode.header(joiner.account, sample_frames, settings)

The MP3 is header, body, seam, body, seam, …, body.

What is never decided here is what a frame sounds like: of frames that the encoders made the same,
as they do except at the highest bitrate, the joined MP3 plays exactly what a single pass would.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from worker import mp3, reservoir
from worker.reservoir import MOST_BACK_BYTES, Frame, Loaded
from worker.segments import EDGE_FRAMES, Segment

_REPACKED_FRAMES = 8
"""The join is never nearer than that to the start of an edge, so that frames before it can make
room."""

_NONE = (0, 0)


class NoRoom(Exception):
    """Nowhere around a cut do the reservoirs of two segments fit together."""


class BrokenSegment(ValueError):
    """An encoder did not make the frames that were planned."""


class Edge(NamedTuple):
    """The last `EDGE_FRAMES` frames before a cut, as one encoder made them."""

    before: bytes
    """What the slots in front of them end with: main data of these frames may begin there."""
    frames: bytes
    begin: int
    """main_data_begin of the frame behind them."""


@dataclass(frozen=True)
class Ends:
    """All that joining needs of a segment: some 80 KB, less than a tenth of it."""

    head: Edge | None
    """None where the recording begins."""
    tail: Edge | None
    """None where the recording ends."""
    body: mp3.Account

    def to_bytes(self) -> bytes:
        word = self.body.first.word if self.body.first else 0
        return _framed(
            struct.pack("<IH", word, self.body.crc),
            struct.pack(f"<{len(self.body.sizes)}H", *self.body.sizes),
            *_edge_parts(self.head),
            *_edge_parts(self.tail),
        )

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Ends":
        """What `to_bytes` made of one."""
        first, sizes, *edges = _parts(stored)
        word, crc = struct.unpack("<IH", first)
        body = mp3.Account(mp3.parse_header(word) if word else None, crc=crc)
        body.sizes.extend(struct.unpack(f"<{len(sizes) // 2}H", sizes))
        body.size_bytes = sum(body.sizes)
        return cls(_edge(*edges[:3]), _edge(*edges[3:]), body)


def _framed(*parts: bytes) -> bytes:
    """Each part behind its size."""
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def _parts(stored: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(stored):
        (size,) = struct.unpack_from("<I", stored, start)
        yield stored[start + 4 : start + 4 + size]
        start += 4 + size


def _edge_parts(edge: Edge | None) -> tuple[bytes, bytes, bytes]:
    if edge is None:
        return b"", b"", b""
    return edge.before, edge.frames, struct.pack("<H", edge.begin)


def _edge(before: bytes, frames: bytes, begin: bytes) -> Edge | None:
    return Edge(before, frames, *struct.unpack("<H", begin)) if frames else None


class Piece(NamedTuple):
    """A segment encoded: what is stored as it is, and what the join needs."""

    body: bytes
    ends: Ends


def divided(frames: Sequence[bytes], segment: Segment) -> Piece:
    """What becomes of the frames of a segment's encoder; those of its lead-in are dropped.

    Raises:
        BrokenSegment: there are fewer than the segment was to have.
    """
    first = segment.first_frame - segment.encoder_frame
    stop = len(frames) if segment.stop_frame is None else segment.stop_frame - segment.encoder_frame
    if len(frames) < max(stop, first + 1):
        raise BrokenSegment(f"{len(frames)} frames were made of segment {segment}")
    head = _cut_edge(frames, first) if segment.index else None
    tail = None if segment.stop_frame is None else _cut_edge(frames, stop)
    kept = frames[first : stop - EDGE_FRAMES if tail else stop]
    account = mp3.Account()
    account.add(kept)
    return Piece(b"".join(kept), Ends(head, tail, account))


def _cut_edge(frames: Sequence[bytes], cut: int) -> Edge:
    before = b""
    for frame in reversed(frames[: cut - EDGE_FRAMES]):
        if len(before) >= MOST_BACK_BYTES:
            break
        before = reservoir.slot(frame) + before
    begin = Frame(frames[cut]).begin if cut < len(frames) else 0
    return Edge(before, b"".join(frames[cut - EDGE_FRAMES : cut]), begin)


class Joiner:
    """Joins segment after segment, and keeps the account of it all."""

    def __init__(self) -> None:
        self.account = mp3.Account()
        self._tail: Edge | None = None

    def add(self, ends: Ends) -> bytes:
        """The frames between the last segment's body and this one's.

        Raises:
            NoRoom: there is no way to join them.
        """
        between = b""
        if self._tail is not None and ends.head is not None:
            between = seam(self._tail, ends.head)
            self.account.add(mp3.Framer().feed(between))
        self.account.append(ends.body)
        self._tail = ends.tail
        return between


def seam(tail: Edge, head: Edge) -> bytes:
    """The `EDGE_FRAMES` frames before a cut: first those of `tail`, then those of `head`.

    The one gives way to the other where they agree best, and if that is so at several places, as
    late as possible.

    Raises:
        NoRoom: see there.
    """
    left, _ = reservoir.unpacked(tail.before, mp3.Framer().feed(tail.frames), tail.begin)
    right, rest = reservoir.unpacked(head.before, mp3.Framer().feed(head.frames), head.begin)
    for place in _places(left, right):
        packed = reservoir.packed(left[:place], right[place:], rest)
        if packed is not None:
            return packed
    raise NoRoom("the reservoirs of two segments do not fit together")


def _places(left: Sequence[Loaded], right: Sequence[Loaded]) -> Iterator[int]:
    """Where to join, best first; nearly always the first is taken, and no other looked at."""
    worse = []
    for place in range(len(left), _REPACKED_FRAMES - 1, -1):
        disagreement = _disagreement(left, right, place)
        if disagreement == _NONE:
            yield place
        else:
            worse.append((disagreement, place))
    for _, place in sorted(worse, key=lambda ranked: ranked[0]):
        yield place


def _disagreement(left: Sequence[Loaded], right: Sequence[Loaded], place: int) -> tuple[int, int]:
    """How much a join before the frame at `place` would be heard.

    Nothing where both encoders made the same of the frame before it or behind it. Otherwise what
    one window aliases the other must undo, so they have to be of the same shape on one side at
    least; and the more the volumes of quantisation noise differ, the worse.
    """
    beside_it = slice(place - 1, place + 1)
    pairs = list(zip(left[beside_it], right[beside_it], strict=True))
    if any(one.content == other.content for one, other in pairs):
        return _NONE
    granules = [
        list(zip(one.frame.granules, other.frame.granules, strict=True)) for one, other in pairs
    ]
    channels = pairs[0][0].frame.header.channels
    beside = [granules[0][-channels:], *(each[:channels] for each in granules[1:])]
    shapes_differ = all(
        any(one.block_type != other.block_type for one, other in side) for side in beside
    )
    return 1 + shapes_differ, sum(abs(a.gain - b.gain) for side in beside for a, b in side)
