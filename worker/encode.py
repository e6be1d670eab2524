"""16-bit PCM → MP3, with LAME in this process and constant memory."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

import lameenc
import numpy as np

from shared.errors import InvalidWav
from worker import join, mp3, resample
from worker.pcm import Block
from worker.resample import Resampler
from worker.segments import Segment

SPEED = 5
"""LAME's `-q`, as ffmpeg sets it too. 0 to 4 divide the Huffman tables best: with VBR that makes
1.7 % fewer bytes of the very same sound and takes a fifth more time (measured)."""


@dataclass(frozen=True)
class Mp3:
    """What was written."""

    size_bytes: int
    frames: int
    """MP3 frames behind the header frame."""
    sample_frames: int
    """What a player gives back, per channel, at the MP3's rate."""
    sample_rate_hz: int
    channels: int

    @property
    def duration_seconds(self) -> float:
        return self.sample_frames / self.sample_rate_hz


def output_rate_hz(sample_rate_hz: int) -> int:
    """The same where MPEG audio has it, else the nearest below; the lowest for those below all."""
    below = [rate for rate in mp3.SAMPLE_RATES_HZ if rate <= sample_rate_hz]
    return max(below, default=mp3.SAMPLE_RATES_HZ[0])


def to_mp3(
    blocks: Iterable[Block],
    sink: BinaryIO,
    *,
    sample_rate_hz: int,
    channels: int,
    quality: int,
    progress: Callable[[int], None] = lambda _: None,
) -> Mp3:
    """Encode blocks of shape (sample frames, `channels`) and write the MP3 where `sink` stands.

    `sink` must be seekable: the header frame, which counts the others, comes first and is known
    last. `progress` is told after each block how many sample frames are done; what it raises
    stops the work.

    Raises:
        InvalidWav: there were no samples.
    """
    rate_hz = output_rate_hz(sample_rate_hz)
    encoder = _encoder(rate_hz, channels, quality)
    resampler = Resampler(sample_rate_hz, rate_hz, channels)
    account = mp3.Account()
    start = sink.tell()
    sink.write(bytes(mp3.header_frame_bytes(rate_hz, channels)))
    done = 0

    def note(sample_frames: int) -> None:
        nonlocal done
        done = sample_frames
        progress(done)

    for frames in _encoded(encoder, resampler, blocks, note):
        account.add(frames)
        sink.writelines(frames)
    frame, made = header(account, done, mp3.Settings(quality, sample_rate_hz))
    end = sink.tell()
    sink.seek(start)
    sink.write(frame)
    sink.seek(end)
    return made


def header(account: mp3.Account, sample_frames: int, settings: mp3.Settings) -> tuple[bytes, Mp3]:
    """The header frame of a recording of so many sample frames, and what the MP3 is with it."""
    if account.first is None:
        raise mp3.BrokenFrame("there is no frame to put a header in front of")
    rate_hz, channels = account.first.sample_rate_hz, account.first.channels
    heard = resample.length(sample_frames, settings.source_rate_hz, rate_hz)
    frame = mp3.header_frame(account, heard, settings)
    size_bytes = len(frame) + account.size_bytes
    return frame, Mp3(size_bytes, len(account.sizes), heard, rate_hz, channels)


def piece(
    blocks: Iterable[Block],
    segment: Segment,
    *,
    sample_rate_hz: int,
    channels: int,
    quality: int,
    progress: Callable[[int], None] = lambda _: None,
) -> join.Piece:
    """Encode one segment of a recording, given the blocks from its `start` to its `stop`.

    `progress` as in `to_mp3`.

    Raises:
        InvalidWav: there were no samples.
        join.BrokenSegment: there were fewer than the segment says.
    """
    rate_hz = output_rate_hz(sample_rate_hz)
    encoder = _encoder(rate_hz, channels, quality)
    resampler = Resampler(sample_rate_hz, rate_hz, channels, skip=segment.skip)
    frames = list(chain.from_iterable(_encoded(encoder, resampler, blocks, progress)))
    return join.divided(frames, segment)


def joined(
    pieces: Iterable[join.Piece], sink: BinaryIO, *, sample_frames: int, settings: mp3.Settings
) -> Mp3:
    """Write the MP3 that these pieces of a recording of so many sample frames make.

    Raises:
        join.NoRoom: they do not fit together; nothing is written then.
    """
    joiner = join.Joiner()
    parts = [part for piece in pieces for part in (joiner.add(piece.ends), piece.body)]
    frame, made = header(joiner.account, sample_frames, settings)
    sink.write(frame)
    sink.writelines(parts)
    return made


def _encoded(
    encoder: Any,
    resampler: Resampler,
    blocks: Iterable[Block],
    progress: Callable[[int], None],
) -> Iterator[list[bytes]]:
    """The frames of all blocks, as they are finished."""
    framer = mp3.Framer()
    done = 0
    for block in blocks:
        yield framer.feed(_fed(encoder, resampler.feed(block)))
        done += len(block)
        progress(done)
    if not done:
        raise InvalidWav("The WAV has no samples; record it again.")
    yield framer.feed(_fed(encoder, resampler.flush()) + encoder.flush())


def _fed(encoder: Any, block: Block) -> bytes:
    """What the encoder gives for it: frames, the last one perhaps in part."""
    given: bytes = encoder.encode(np.ascontiguousarray(block, "<i2"))
    return given


def _encoder(rate_hz: int, channels: int, quality: int) -> Any:
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_vbr(lameenc.VBR_MTRH)
    encoder.set_vbr_quality(float(quality))
    encoder.set_quality(SPEED)
    encoder.set_channels(channels)
    encoder.set_in_sample_rate(rate_hz)
    # Left to itself LAME lowers the rate at low qualities.
    encoder.set_out_sample_rate(rate_hz)
    return encoder
