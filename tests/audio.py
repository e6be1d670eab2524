"""Sounds for tests: WAVs of every kind, built from their parts, and what an MP3 sounds like."""

import re
import struct
import subprocess
from collections.abc import Iterable
from functools import cache
from typing import Any

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

from shared import wav

Samples = npt.NDArray[np.int16]
"""Shape (sample frames, channels)."""

PCM, FLOAT, ALAW, MULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE


def music(seconds: float = 1, *, sample_rate_hz: int = 44_100, channels: int = 2) -> Samples:
    """Two tones with a beat and a little noise, another one in each channel."""
    time = np.arange(round(seconds * sample_rate_hz))[:, None] / sample_rate_hz
    pitch = 220 * (1 + np.arange(channels))
    noise = np.random.default_rng(seed=1).normal(0, 0.02, (len(time), channels))
    sound = 0.4 * np.sin(2 * np.pi * pitch * time) * (1 + np.sin(9 * time)) / 2 + noise
    scaled: Samples = (sound * 32767).astype(np.int16)
    return scaled


def make_wav(
    seconds: float = 1,
    *,
    channels: int = 2,
    sample_rate_hz: int = 44_100,
    samples: Samples | None = None,
) -> bytes:
    """A 16-bit PCM WAV of music, or of the given samples."""
    if samples is None:
        samples = music(seconds, sample_rate_hz=sample_rate_hz, channels=channels)
    header = fmt(channels=samples.shape[1], sample_rate_hz=sample_rate_hz)
    return riff(chunk(b"fmt ", header), chunk(b"data", samples.astype("<i2").tobytes()))


def riff(*chunks: bytes, kind: bytes = b"RIFF", size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return kind + struct.pack("<I", len(body) if size is None else size) + body


def chunk(name: bytes, body: bytes, *, size: int | None = None) -> bytes:
    """A chunk with its pad byte; `size` is what it claims where that is not the truth."""
    claimed = len(body) if size is None else size
    return name + struct.pack("<I", claimed) + body + b"\0" * (len(body) % 2)


def fmt(
    tag: int = PCM,
    *,
    channels: int = 2,
    sample_rate_hz: int = 44_100,
    bits: int = 16,
    block_align: int | None = None,
    extra: bytes | None = None,
) -> bytes:
    """The body of a `fmt ` chunk."""
    if block_align is None:
        block_align = channels * ((bits + 7) // 8)
    rate = sample_rate_hz * block_align
    body = struct.pack("<HHIIHH", tag, channels, sample_rate_hz, rate, block_align, bits)
    return body if extra is None else body + struct.pack("<H", len(extra)) + extra


def extension(tag: int = PCM, *, valid_bits: int = 16, mask: int = 0) -> bytes:
    """What WAVE_FORMAT_EXTENSIBLE adds to a `fmt ` chunk."""
    guid_tail = bytes.fromhex("000000001000800000aa00389b71")
    return struct.pack("<HIH", valid_bits, mask, tag) + guid_tail


def info(**texts: bytes) -> bytes:
    """A LIST chunk of type INFO: `info(INAM=b"Lullaby")`."""
    entries = (chunk(name.encode(), text + b"\0") for name, text in texts.items())
    return chunk(b"LIST", b"INFO" + b"".join(entries))


def bext(
    *, description: bytes = b"", originator: bytes = b"", date: bytes = b"", time: bytes = b""
) -> bytes:
    """A `bext` chunk of version 2 with an empty coding history."""
    texts = struct.pack("256s32s32x10s8s", description, originator, date, time)
    return chunk(b"bext", texts + struct.pack("<QH", 0, 2).ljust(264, b"\0"))


def noise(tag: int, *, size: int = 60_000, **header: Any) -> bytes:
    """A WAV of a codec in which any bytes are a sound."""
    data = np.random.default_rng(seed=1).bytes(size)
    return riff(chunk(b"fmt ", fmt(tag, **header)), chunk(b"data", data))


def compressed(codec: str, samples: Samples, *, sample_rate_hz: int = 44_100) -> bytes:
    """A WAV as ffmpeg writes it, of `adpcm_ms`, `adpcm_yamaha`, `mp2`, `libmp3lame` or another."""
    source = make_wav(samples=samples, sample_rate_hz=sample_rate_hz)
    return ffmpeg(
        "-v", "error", "-f", "wav", "-i", "-", "-c:a", codec, "-f", "wav", "-", stdin=source
    )


def decoded(sound: bytes, *, channels: int, format_name: str = "mp3") -> Samples:
    """What ffmpeg hears in it, at its own rate; with an MP3 it must have nothing to remark."""
    level = "warning" if format_name == "mp3" else "error"
    raw = ffmpeg("-v", level, "-f", format_name, "-i", "-", "-f", "s16le", "-", stdin=sound)
    samples: Samples = np.frombuffer(raw, "<i2").reshape(-1, channels)
    return samples


def metadata(mp3: bytes) -> dict[str, str]:
    """What ffmpeg reads in an MP3's tag, by its own names."""
    wanted = ["-bitexact", "-f", "ffmetadata", "-"]  # Bit-exact: without ffmpeg's own name.
    written = ffmpeg("-v", "error", "-f", "mp3", "-i", "-", *wanted, stdin=mp3).decode()
    _, *lines = re.findall(r"(?s)((?:[^\\\n]|\\.)+)\n", written)
    pairs = (line.split("=", maxsplit=1) for line in lines)
    return {name: re.sub(r"(?s)\\(.)", r"\1", text) for name, text in pairs}


def ffmpeg(*arguments: str, stdin: bytes) -> bytes:
    """Its standard output. A message counts as a failure."""
    command = [_ffmpeg(), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, check=True)
    assert not done.stderr, done.stderr.decode()
    return done.stdout


@cache
def _ffmpeg() -> str:
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def read(blocks: Iterable[bytes], *, max_duration_seconds: float = float("inf")) -> wav.Wav:
    """What the reader finds in a file that arrives in these blocks."""
    reader = wav.Reader(max_duration_seconds=max_duration_seconds)
    for block in blocks:
        reader.feed(block)
    return reader.close()
