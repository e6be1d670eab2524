"""Compressed WAV samples → 16-bit PCM in blocks, through pydub and its ffmpeg.

A recording is decoded window by window, each a small WAV of its own in memory, so that neither
pydub (which holds all it is given, several times) nor ffmpeg grows with the length. Blocks of
MS and IMA ADPCM and of GSM 6.10 stand alone; MPEG frames lean on a few before them, and G.722 and
G.726 on some thousand samples: those are decoded twice.

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
from shared.fmt import MPEG, PREDICTIVE
from shared.wav import Codec, Wav
from worker import mp3, mpeg, pcm
from worker.pcm import BLOCK_FRAMES, Block

WINDOW_FRAMES = 1 << 21
"""47 s at 44.1 kHz: 8 MB of stereo, held up to four times, against 0.1 s to start ffmpeg."""

LEAD_IN_FRAMES = 16
"""MPEG frames decoded twice. Of MP3 main data begins at most 511 bytes back, which is nine frames
of the lowest bitrate, and the filters need one more. MP2 needs one alone."""

LEAD_IN_SAMPLES = 1 << 14
"""Samples of G.722 and G.726 decoded twice. Their predictors forget, so that transmission errors
die out: after 8,000 samples of music, speech-like tones, dialling tones and noise, not a bit
differed from what a decoder gave that had started at the beginning."""

_DECODERS = {
    Codec.MS_ADPCM: "adpcm_ms",
    Codec.IMA_ADPCM: "adpcm_ima_wav",
    Codec.GSM610: "gsm_ms",
    Codec.G722: "g722",
    Codec.G726: "g726",
    Codec.MP2: "mp2float",
    Codec.MP3: "mp3float",
}
_PARSERS = {Codec.MP2: mpeg.parse_layer_2, Codec.MP3: mpeg.parse_layer_3}

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
    windows = _mpeg_windows if wav.codec in MPEG else _windows
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
    lead_in_bytes = LEAD_IN_SAMPLES // block_frames * wav.block_align_bytes
    lead_in = b""
    for data in pcm.read(file, wav, window_bytes):
        together = lead_in + data
        yield _Window(together, _sample_frames(wav, together), _sample_frames(wav, lead_in))
        lead_in = together[-lead_in_bytes:] if wav.codec in PREDICTIVE else b""


def _sample_frames(wav: Wav, data: bytes) -> int:
    return wav.sample_frames_in(len(data)) or 0


def _mpeg_windows(file: BinaryIO, wav: Wav) -> Iterator[_Window]:
    lead_in: list[bytes] = []
    frames: list[bytes] = []
    per_frame = 0
    for frame, header in _mpeg_frames(file, wav):
        per_frame = header.sample_frames
        frames.append(frame)
        if len(frames) * per_frame >= WINDOW_FRAMES:
            yield _mpeg_window(lead_in, frames, per_frame)
            lead_in, frames = frames[-LEAD_IN_FRAMES:], []
    if frames:
        yield _mpeg_window(lead_in, frames, per_frame)


def _mpeg_window(lead_in: list[bytes], frames: list[bytes], per_frame: int) -> _Window:
    together = lead_in + frames
    return _Window(b"".join(together), len(together) * per_frame, len(lead_in) * per_frame)


def _mpeg_frames(file: BinaryIO, wav: Wav) -> Iterator[tuple[bytes, mpeg.Header]]:
    """The frames, which must be as the WAV's header says."""
    try:
        for frame, header in mpeg.frames(pcm.read(file, wav, 1 << 20), _PARSERS[wav.codec]):
            if (header.sample_rate_hz, header.channels) != (wav.sample_rate_hz, wav.channels):
                raise _broken(wav, "a frame has another rate or number of channels")
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
        # Bytes per second, from which ffmpeg learns how many bits a sample of G.726 has.
        math.ceil(wav.sample_rate_hz * (wav.bits or 8) / 8),
        # ffmpeg reads whole blocks; MPEG audio has none.
        1 if wav.codec in MPEG else wav.block_align_bytes,
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
