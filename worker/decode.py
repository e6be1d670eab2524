"""Compressed WAV samples → 16-bit PCM in blocks, through pydub and its ffmpeg.

A recording is decoded window by window, each a small WAV of its own in memory, so that neither
pydub (which holds all it is given, several times) nor ffmpeg grows with the length. Blocks of
ADPCM and GSM 6.10 stand alone; MP3 frames lean on a few before them, which are decoded twice.

ffmpeg is given a stranger's bytes and therefore nothing else: one demuxer, one decoder, its
standard streams, and the limits of `worker/confine.py`.
"""

import math
import os
import shutil
import struct
import subprocess
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from shared.errors import InvalidWav, UnsupportedWavCodec, UploadTooLarge
from shared.wav import Codec, Wav
from worker import mp3
from worker.pcm import BLOCK_FRAMES, Block

WINDOW_FRAMES = 1 << 21
"""47 s at 44.1 kHz: 8 MB of stereo, held up to four times, against 0.1 s to start ffmpeg."""

LEAD_IN_FRAMES = 16
"""MP3 frames decoded twice: main data begins at most 511 bytes back, which is nine frames of the
lowest bitrate, and the filters need one more."""

_DECODERS = {
    Codec.MS_ADPCM: "adpcm_ms",
    Codec.IMA_ADPCM: "adpcm_ima_wav",
    Codec.GSM610: "gsm_ms",
    Codec.MP3: "mp3float",
}

_CONFINE = Path(__file__).with_name("confine.py")
_FFMPEG_OPTIONS = (
    *("-nostdin", "-hide_banner", "-loglevel", "error", "-threads", "1"),
    *("-protocol_whitelist", "pipe,fd"),  # Newer versions read standard input as `fd:`.
    *("-format_whitelist", "wav"),
    *("-codec_whitelist", ",".join(_DECODERS.values())),
)


class _Window(NamedTuple):
    data: bytes
    sample_frames: int
    lead_in: int
    """How many of its first sample frames the window before has given already."""


def blocks(file: BinaryIO, wav: Wav, *, max_duration_seconds: float = math.inf) -> Iterator[Block]:
    """All sample frames of a compressed WAV, in blocks of shape (sample frames, channels).

    Raises:
        InvalidWav: the samples are broken.
        UnsupportedWavCodec: there is no ffmpeg on this machine.
        UploadTooLarge: the sound, whose header does not tell how long it is, lasts longer.
        EOFError: the file is shorter than it was when its header was read.
    """
    windows = _mp3_windows if wav.codec is Codec.MP3 else _windows
    limit = math.inf if wav.sample_frames is None else wav.sample_frames
    done = 0
    for window in windows(file, wav):
        samples = _decoded(window, wav)[window.lead_in :]
        samples = samples[: int(min(limit - done, len(samples)))]
        done += len(samples)
        if done > max_duration_seconds * wav.sample_rate_hz:
            raise UploadTooLarge(
                f"The WAV lasts longer than {max_duration_seconds:g} seconds, "
                "which is all that is taken; send it in parts."
            )
        for start in range(0, len(samples), BLOCK_FRAMES):
            yield samples[start : start + BLOCK_FRAMES]


def _windows(file: BinaryIO, wav: Wav) -> Iterator[_Window]:
    """Windows of whole blocks; the last of them may be short."""
    block_frames = wav.block_sample_frames or 1
    window_bytes = max(1, WINDOW_FRAMES // block_frames) * wav.block_align_bytes
    for data in _read(file, wav, window_bytes):
        yield _Window(data, wav.sample_frames_in(len(data)) or 0, 0)


def _read(file: BinaryIO, wav: Wav, size: int) -> Iterator[bytes]:
    end = wav.data_offset + wav.data_size_bytes
    file.seek(wav.data_offset)
    for position in range(wav.data_offset, end, size):
        data = file.read(min(size, end - position))
        if len(data) < min(size, end - position):
            raise EOFError("the WAV ends before its samples do")
        yield data


def _mp3_windows(file: BinaryIO, wav: Wav) -> Iterator[_Window]:
    lead_in: list[bytes] = []
    frames: list[bytes] = []
    per_frame = 0
    for frame, header in _mp3_frames(file, wav):
        per_frame = header.sample_frames
        frames.append(frame)
        if len(frames) * per_frame >= WINDOW_FRAMES:
            yield _mp3_window(lead_in, frames, per_frame)
            lead_in, frames = frames[-LEAD_IN_FRAMES:], []
    if frames:
        yield _mp3_window(lead_in, frames, per_frame)


def _mp3_window(lead_in: list[bytes], frames: list[bytes], per_frame: int) -> _Window:
    together = lead_in + frames
    return _Window(b"".join(together), len(together) * per_frame, len(lead_in) * per_frame)


def _mp3_frames(file: BinaryIO, wav: Wav) -> Iterator[tuple[bytes, mp3.FrameHeader]]:
    """The frames, which must follow one another and be as the WAV's header says.

    A last one that is cut short is left out: what it holds cannot be decoded.
    """
    framer = mp3.Framer()
    try:
        for data in _read(file, wav, 1 << 20):
            for frame in framer.feed(data):
                header = mp3.parse_header(int.from_bytes(frame[:4], "big"))
                if (header.sample_rate_hz, header.channels) != (wav.sample_rate_hz, wav.channels):
                    raise _broken(wav, "an MP3 frame has another rate or number of channels")
                yield frame, header
    except mp3.BrokenFrame as error:
        raise _broken(wav, str(error)) from error


def _decoded(window: _Window, wav: Wav) -> Block:
    """All sample frames of a window, its lead-in included."""
    pydub = _pydub()
    small_wav = BytesIO(_wav_bytes(window.data, wav))
    try:
        sound = pydub.AudioSegment.from_file(small_wav, "wav", codec=_DECODERS[wav.codec])
    except pydub.CouldntDecodeError as error:
        raise _broken(wav, "ffmpeg cannot decode it") from error
    if (sound.sample_width, sound.channels) != (2, wav.channels):
        raise _broken(wav, "it decodes to another number of channels")
    samples: Block = np.frombuffer(sound.raw_data, "<i2").reshape(-1, wav.channels)
    if len(samples) != window.sample_frames:
        raise _broken(wav, f"{window.sample_frames} sample frames decode to {len(samples)}")
    return samples


def _broken(wav: Wav, why: str) -> InvalidWav:
    return InvalidWav(f"The WAV's samples ({wav.codec}) are broken: {why}. Export it again as PCM.")


def _wav_bytes(data: bytes, wav: Wav) -> bytes:
    """A plain WAV of these samples, with nothing in it but what the decoder needs."""
    extra = wav.fmt_extra
    fmt = struct.pack(
        "<HHIIHHH",
        wav.format_tag,
        wav.channels,
        wav.sample_rate_hz,
        wav.sample_rate_hz,  # Bytes per second, which nothing here depends on.
        # ffmpeg reads whole blocks; MP3 has none.
        1 if wav.codec is Codec.MP3 else wav.block_align_bytes,
        wav.bits,
        len(extra),
    )
    chunks = _chunk(b"fmt ", fmt + extra) + _chunk(b"data", data)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


class _ConfinedSubprocess:
    """What pydub uses of `subprocess`, so that its ffmpeg starts confined.

    pydub has no place for options before `-i` nor for limits; the one thing it lets us choose is
    the executable's name, and a wrapper script would need a folder that may hold executables.
    """

    PIPE = subprocess.PIPE

    @staticmethod
    def Popen(command: list[str], **options: Any) -> "subprocess.Popen[bytes]":  # noqa: N802
        ffmpeg, *arguments = command
        confine = [sys.executable, "-I", "-S", str(_CONFINE), str(os.getpid())]
        confined = [*confine, ffmpeg, *_FFMPEG_OPTIONS, *arguments]
        return subprocess.Popen(confined, **options)  # noqa: S603  # No shell, no stranger's words.


@cache
def _pydub() -> Any:
    """The module of pydub. Imported here because it takes 0.1 s and few recordings need it."""
    with warnings.catch_warnings():
        # Its import warns of its own escapes, of audioop, and of ffmpeg missing on PATH.
        warnings.simplefilter("ignore")
        from pydub import audio_segment  # noqa: PLC0415

    audio_segment.subprocess = _ConfinedSubprocess
    audio_segment.AudioSegment.converter = _ffmpeg()
    return audio_segment


def _ffmpeg() -> str:
    """The machine's ffmpeg, or the one that comes as a wheel with the embedded servers."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg  # noqa: PLC0415  # Not in container images.

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise UnsupportedWavCodec(
            "This WAV is compressed, and there is no ffmpeg here to decode it; save it as PCM."
        ) from error
