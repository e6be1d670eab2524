"""An upload, and the ways to make an MP3 of it: in segments, on several cores, or as a stream."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any, BinaryIO
from uuid import UUID

from shared import errors
from shared.store import UploadStore
from shared.wav import SAMPLE_BY_SAMPLE, Wav
from worker import adpcm, decode, encode, join, mp3, pcm, peaks, segments
from worker.cores import Cores
from worker.encode import Mp3
from worker.segments import Segment

MOST_CORES = 8
"""For a recording without segments: each core more has a lead-in more to encode."""

Progress = Callable[[float], None]
"""Told from time to time what share of the work is done. What it raises stops the work."""


@dataclass(frozen=True)
class Recording:
    """What a job converts, and how."""

    id: UUID
    wav: Wav
    uploads: UploadStore
    quality: int
    """LAME's for VBR, 0 (best) to 9."""
    most_seconds: float
    """Of sound whose length only decoding can tell."""

    @classmethod
    def of_job(
        cls, payload: Mapping[str, Any], *, uploads: UploadStore, quality: int, most_seconds: float
    ) -> "Recording":
        wav = Wav.from_json(payload["wav"])
        return cls(UUID(payload["record"]), wav, uploads, quality, most_seconds)

    @property
    def sample_frames(self) -> int:
        """0 where only decoding can tell (MPEG): such a job shows no progress."""
        return self.wav.sample_frames or 0

    @property
    def settings(self) -> mp3.Settings:
        return mp3.Settings(self.quality, self.wav.sample_rate_hz)

    @property
    def channels(self) -> int:
        """Of the MP3."""
        return min(self.wav.channels, 2)

    def segments(self) -> Sequence[Segment]:
        """Of a long recording, for jobs of their own; of others there are none."""
        if not self._is_seekable:
            return ()
        planned = segments.plan(
            self.sample_frames,
            wav_rate_hz=self.wav.sample_rate_hz,
            mp3_rate_hz=self._mp3_rate_hz,
            channels=self.channels,
        )
        return planned if len(planned) > 1 else ()

    def encode_segment(
        self, segment: Segment, waveform: BinaryIO, *, progress: Progress
    ) -> join.Piece:
        """Encode a segment, and write the pixels of its `waveform`. Raises: ConversionFailed."""
        length = segment.stop - segment.start
        with self._opened() as upload:
            blocks = pcm.blocks(upload, self.wav, start=segment.start, stop=segment.stop)
            return encode.piece(
                peaks.watched(blocks, waveform, segment),
                segment,
                sample_rate_hz=self.wav.sample_rate_hz,
                channels=self.channels,
                quality=self.quality,
                progress=lambda done: progress(done / length),
            )

    def encode(
        self, sound: BinaryIO, waveform: BinaryIO, *, cores: Cores, progress: Progress
    ) -> Mp3:
        """Write the MP3 and the waveform of a short recording, on all cores that are idle.

        Raises: as `encode_as_stream`.
        """
        with cores.taken(MOST_CORES - 1) as others, suppress(join.NoRoom):
            parts = self._parts(1 + others)
            if len(parts) > 1:
                return self._encode_at_once(parts, sound, waveform, progress)
        return self.encode_as_stream(sound, waveform, progress=progress)

    def encode_as_stream(self, sound: BinaryIO, waveform: BinaryIO, *, progress: Progress) -> Mp3:
        """Write the MP3 and the waveform, in constant memory.

        Raises:
            ConversionFailed, InvalidWav, UploadTooLarge: why it cannot be converted.
        """
        with self._opened() as upload:
            return encode.to_mp3(
                peaks.watched(self._blocks(upload), waveform),
                sound,
                sample_rate_hz=self.wav.sample_rate_hz,
                channels=self.channels,
                quality=self.quality,
                progress=lambda done: progress(
                    done / self.sample_frames if self.sample_frames else 0
                ),
            )

    def _encode_at_once(
        self, parts: Sequence[Segment], sound: BinaryIO, waveform: BinaryIO, progress: Progress
    ) -> Mp3:
        """Encode each part in a thread of its own: LAME works without Python's lock.

        Raises: join.NoRoom, with nothing written.
        """
        waveforms = [BytesIO() for _ in parts]
        encode_part = partial(self.encode_segment, progress=progress)  # They keep in step.
        with ThreadPoolExecutor(len(parts)) as threads:
            pieces = list(threads.map(encode_part, parts, waveforms))
        made = encode.joined(
            pieces, sound, sample_frames=self.sample_frames, settings=self.settings
        )
        waveform.writelines(each.getvalue() for each in waveforms)
        return made

    def _parts(self, encoders: int) -> Sequence[Segment]:
        """For so many encoders; none where one must do."""
        if not self._is_seekable:
            return ()
        return segments.plan_at_once(
            self.sample_frames,
            wav_rate_hz=self.wav.sample_rate_hz,
            mp3_rate_hz=self._mp3_rate_hz,
            encoders=encoders,
        )

    @property
    def _is_seekable(self) -> bool:
        """Whether its samples can be read from anywhere on."""
        return self.wav.codec in SAMPLE_BY_SAMPLE

    @property
    def _mp3_rate_hz(self) -> int:
        return encode.output_rate_hz(self.wav.sample_rate_hz)

    def _blocks(self, upload: BinaryIO) -> Iterator[pcm.Block]:
        if self._is_seekable:
            return pcm.blocks(upload, self.wav)
        if self.wav.codec in adpcm.CODECS:
            return adpcm.blocks(upload, self.wav)
        return decode.blocks(upload, self.wav, max_duration_seconds=self.most_seconds)

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        try:
            upload = self.uploads.open(self.id)
        except FileNotFoundError:
            raise errors.ConversionFailed(
                "The upload is not in the store any more; send it again."
            ) from None
        with upload:
            yield upload
