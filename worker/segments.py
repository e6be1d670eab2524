"""Where a long recording is cut so that its parts can be encoded apart, on any machine.

An encoder that starts at sample frame S, a multiple of what an MP3 frame holds, makes the frames
of a single pass from number S / 1152 on, once it has forgotten that it started there. So every
segment starts some frames early, and two neighbours encode the same frames around each cut:

::

    left     ---- body ------------|-- tail --|  lookahead
    right              lead-in     |-- head --|------------ body ----
                                   |          `- the cut
                                   `- `EDGE_FRAMES` before it

`worker/join.py` picks the frame among those of tail and head where the one gives way to the other.
Pure arithmetic: nothing here knows samples, LAME or jobs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import Any

from worker import mp3

EDGE_FRAMES = 64
"""MP3 frames before a cut that both neighbours hand over to the join.

Nearly always it is made at the cut itself. Where all frames have the highest bitrate it may have to
go back to the last one that has not: of 5,200 such joins 21 did, by up to 47 frames."""

LEAD_IN_FRAMES = 96
"""MP3 frames that a segment encodes before its cut, those of its head among them.

Filters and block types settle within three. What lasts is LAME's adaptive threshold of hearing,
which sinks by a factor of 0.925 per frame once a loud passage is over: after 95 of them it is at
its lowest, whatever was before."""

LOOKAHEAD_FRAMES = 2
"""MP3 frames that a segment reads past its last one. LAME itself needs none: what follows frame n's
own samples changes frame n + 1 at the earliest (measured). The resampler's filter reaches up to
216 sample frames ahead, 111 where the rate is lowered; a frame holds 576 or more."""

SEGMENT_GRANULES = 7_680
"""Granules of one channel in a segment: 50 s of 44.1 kHz stereo, half a second of CPU.

A lead-in of 96 frames is then a twentieth of the work."""


@dataclass(frozen=True)
class Segment:
    """One part of a recording, encoded by itself. MP3 frames are numbered as in the whole."""

    index: int
    start: int
    """First sample frame to read, at the WAV's rate."""
    stop: int
    """Sample frame before which to stop reading."""
    encoder_frame: int
    """Number of the first MP3 frame that its encoder makes."""
    first_frame: int
    """The cut at its start: its head ends, its body begins."""
    stop_frame: int | None
    """The cut at its end, where its tail ends; None for the last, which goes on to its end."""
    body_start: int
    """Sample frame of the WAV where the first of these cuts is."""
    body_stop: int
    """Sample frame of the WAV where the second is; of the last segment, how many there are."""
    skip: int
    """Sample frames that resampling from `start` on makes before those of `encoder_frame`."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Segment":
        return cls(**stored)


def plan(
    sample_frames: int,
    *,
    wav_rate_hz: int,
    mp3_rate_hz: int,
    channels: int,
    segment_granules: int = SEGMENT_GRANULES,
) -> list[Segment]:
    """The segments of a recording; a single one where it is too short.

    `sample_frames` are the WAV's, `channels` the MP3's. Segments are equally long within a frame,
    at least `segment_granules` and less than twice that.
    """
    frames = _frames(sample_frames, wav_rate_hz, mp3_rate_hz)
    shortest = segment_granules * 576 // (channels * _per_frame(mp3_rate_hz))
    count = max(1, frames // max(shortest, EDGE_FRAMES))
    cuts = [frames * number // count for number in range(1, count)]
    return cut(sample_frames, cuts, wav_rate_hz=wav_rate_hz, mp3_rate_hz=mp3_rate_hz)


def plan_at_once(
    sample_frames: int, *, wav_rate_hz: int, mp3_rate_hz: int, encoders: int
) -> list[Segment]:
    """Segments for so many encoders that start together, or for fewer if that is too short.

    The first has no lead-in to encode, so it gets that much more of the sound.
    """
    frames = _frames(sample_frames, wav_rate_hz, mp3_rate_hz)
    count = max(1, min(encoders, (frames - LEAD_IN_FRAMES) // EDGE_FRAMES))
    each = (frames - LEAD_IN_FRAMES) // count
    cuts = [LEAD_IN_FRAMES + each * number for number in range(1, count)]
    return cut(sample_frames, cuts, wav_rate_hz=wav_rate_hz, mp3_rate_hz=mp3_rate_hz)


def cut(
    sample_frames: int, cuts: Sequence[int], *, wav_rate_hz: int, mp3_rate_hz: int
) -> list[Segment]:
    """The segments between these numbers of MP3 frames, at least `EDGE_FRAMES` apart.

    Where rates differ a segment starts at a sample frame of the WAV at whose time the MP3 has one
    too, as both have at the very start: only there can resampling begin anew.
    """
    per_frame = _per_frame(mp3_rate_hz)
    ratio = Fraction(wav_rate_hz, mp3_rate_hz)

    def in_wav(mp3_frame: int) -> int:
        return ceil(mp3_frame * per_frame * ratio)

    segments = []
    for index, (first, stop) in enumerate(pairwise([0, *cuts, None])):
        encoder_frame = max(0, (first or 0) - LEAD_IN_FRAMES)
        periods, skip = divmod(encoder_frame * per_frame, ratio.denominator)
        segment = Segment(
            index=index,
            start=periods * ratio.numerator,
            stop=sample_frames
            if stop is None
            else min(sample_frames, in_wav(stop + LOOKAHEAD_FRAMES)),
            encoder_frame=encoder_frame,
            first_frame=first or 0,
            stop_frame=stop,
            body_start=in_wav(first or 0),
            body_stop=sample_frames if stop is None else in_wav(stop),
            skip=skip,
        )
        segments.append(segment)
    return segments


def _frames(sample_frames: int, wav_rate_hz: int, mp3_rate_hz: int) -> int:
    """Whole MP3 frames in so many sample frames of the WAV."""
    return sample_frames * mp3_rate_hz // (wav_rate_hz * _per_frame(mp3_rate_hz))


def _per_frame(mp3_rate_hz: int) -> int:
    """Sample frames in an MP3 frame."""
    return mp3.plain_header(mp3_rate_hz, 1).sample_frames
