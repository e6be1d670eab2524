import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from shared.errors import InvalidWav, UnsupportedWavCodec, UploadTooLarge
from tests.audio import Samples, chunk, compressed, decoded, fmt, music, noise, read, riff
from worker import confine, decode


def heard(upload: bytes) -> Samples:
    return np.concatenate(list(decode.blocks(BytesIO(upload), read([upload]))))


def gsm(blocks: int) -> bytes:
    header = {"sample_rate_hz": 8000, "bits": 0, "block_align": 65, "extra": b"\x40\1"}
    return noise(0x31, size=65 * blocks, channels=1, **header)


def g726(bits: int, *, size: int = 30_000, sample_rate_hz: int = 8000) -> bytes:
    """Its `byte rate` is right, for ffmpeg reads the size of a sample there."""
    upload = bytearray(noise(0x45, size=size, channels=1, sample_rate_hz=sample_rate_hz, bits=bits))
    upload[28:34] = (sample_rate_hz * bits // 8).to_bytes(4, "little") + bytes([bits, 0])
    return bytes(upload)


def g722(size: int = 30_000) -> bytes:
    return noise(0x28F, size=size, channels=1, sample_rate_hz=16_000, bits=4, block_align=1)


@pytest.fixture(autouse=True)
def _ffmpeg_of_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine has: versions differ in the last bits of ADPCM."""
    monkeypatch.setattr("shutil.which", lambda _: None)
    decode._pydub.cache_clear()


@pytest.fixture(scope="module")
def uploads() -> dict[str, bytes]:
    return {
        "adpcm_ms": compressed("adpcm_ms", music(1)),
        "adpcm_ima_wav": compressed("adpcm_ima_wav", music(1, channels=1)),
        "gsm_ms": gsm(50),
        "g722": g722(),
        "g726 of 2 bits": g726(2),
        "g726 of 3 bits": g726(3),
        "g726 of 4 bits": g726(4),
        "libmp3lame": compressed("libmp3lame", music(3)),
    }


CODECS = [
    *("adpcm_ms", "adpcm_ima_wav", "gsm_ms", "g722"),
    *("g726 of 2 bits", "g726 of 3 bits", "g726 of 4 bits", "libmp3lame"),
]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("window_frames", [decode.WINDOW_FRAMES, 20_000])
def test_windows_decode_to_what_the_whole_does(
    codec: str, window_frames: int, uploads: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "WINDOW_FRAMES", window_frames)
    upload = uploads[codec]
    wav = read([upload])

    samples = heard(upload)

    whole = decoded(upload, channels=wav.channels, format_name="wav")
    assert np.array_equal(samples, whole[: wav.sample_frames])
    assert wav.sample_frames in {None, len(samples)}


def test_windows_of_mp2_decode_to_what_the_whole_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is told otherwise, ffmpeg decodes MP2 in integers, which differs by a bit."""
    upload = compressed("mp2", music(3))
    whole = heard(upload)

    monkeypatch.setattr(decode, "WINDOW_FRAMES", 20_000)

    assert np.array_equal(heard(upload), whole)
    difference = whole.astype(int) - decoded(upload, channels=2, format_name="wav")
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 10_001])
@pytest.mark.parametrize("make", [g722, partial(g726, 2), partial(g726, 3), partial(g726, 4)])
def test_codecs_without_blocks_may_end_anywhere(make: Callable[..., bytes], size: int) -> None:
    upload = make(size=size)

    assert len(heard(upload)) == read([upload]).sample_frames


def test_the_size_of_a_g726_sample_survives_an_odd_rate() -> None:
    upload = g726(3, sample_rate_hz=11_025)

    assert len(heard(upload)) == 80_000


@pytest.mark.parametrize("cut", [1, 5, 13, 14, 500, 1000, 1023])
@pytest.mark.parametrize("codec", ["adpcm_ms", "adpcm_ima_wav"])
def test_a_short_last_block_counts_as_far_as_it_goes(
    codec: str, cut: int, uploads: dict[str, bytes]
) -> None:
    upload = uploads[codec]
    wav = read([upload])
    samples = upload[wav.data_offset :][: wav.data_size_bytes - cut]
    streamed = upload[: wav.data_offset - 4] + bytes(4) + samples

    assert len(heard(streamed)) == read([streamed]).sample_frames


def test_blocks_are_no_larger_than_others(uploads: dict[str, bytes]) -> None:
    upload = uploads["libmp3lame"]

    blocks = list(decode.blocks(BytesIO(upload), read([upload])))

    assert {len(block) for block in blocks[:-1]} == {65_536}
    assert all(block.dtype == np.int16 for block in blocks)


@pytest.mark.parametrize(
    ("start", "garbage", "why"),
    [
        (0, b"no MP3 frame here" * 300, "no layer III frame begins with 6e6f204d"),
        (0, b"\xff\xfb\x90\xc4", "another rate or number of channels"),
        (2000, b"\0" * 1500, "no layer III frame"),
    ],
)
def test_broken_mp3_frames_are_refused(
    start: int, garbage: bytes, why: str, uploads: dict[str, bytes]
) -> None:
    upload = uploads["libmp3lame"]
    place = read([upload]).data_offset + start
    broken = upload[:place] + garbage + upload[place + len(garbage) :]

    with pytest.raises(InvalidWav, match=why):
        heard(broken)


def test_mp3_may_begin_in_the_middle_of_a_frame(uploads: dict[str, bytes]) -> None:
    """As a logger cuts it: after the first frames nothing is missing that others lean on."""
    upload = uploads["libmp3lame"]
    start = read([upload]).data_offset
    cut = upload[: start - 4] + bytes(4) + upload[start + 5_000 :]

    whole, rest = heard(upload), heard(cut)

    missing = len(whole) - len(rest)
    assert missing % 1152 == 0
    assert np.array_equal(rest[16 * 1152 :], whole[missing + 16 * 1152 :])


def test_tags_around_mp3_are_not_heard(uploads: dict[str, bytes]) -> None:
    upload = uploads["libmp3lame"]
    start = read([upload]).data_offset
    tag = b"ID3\3\0\0\0\0\2\0" + bytes(256)
    tagged = upload[: start - 4] + bytes(4) + tag + upload[start:] + b"TAG" + bytes(125)

    assert np.array_equal(heard(tagged), heard(upload))


@pytest.mark.parametrize("tag", [0x50, 0x55])
def test_mpeg_audio_without_a_frame_is_refused(tag: int) -> None:
    with pytest.raises(InvalidWav, match="no layer I"):
        heard(noise(tag, size=3, bits=0, block_align=1))


def test_broken_blocks_are_refused() -> None:
    """0xFF is no predictor of MS ADPCM."""
    header = fmt(2, channels=1, bits=4, block_align=256, extra=bytes(32))
    upload = riff(chunk(b"fmt ", header), chunk(b"data", b"\xff" * 1024))

    with pytest.raises(InvalidWav, match=r"cannot decode|decode to"):
        heard(upload)


def test_mp3_that_lasts_too_long_is_refused(uploads: dict[str, bytes]) -> None:
    upload = uploads["libmp3lame"]

    with pytest.raises(UploadTooLarge, match="longer than 2 seconds"):
        list(decode.blocks(BytesIO(upload), read([upload]), max_duration_seconds=2))


def test_a_file_that_lost_its_end_is_noticed(uploads: dict[str, bytes]) -> None:
    upload = uploads["adpcm_ms"]

    with pytest.raises(EOFError):
        list(decode.blocks(BytesIO(upload[:-9]), read([upload])))


def test_without_ffmpeg_a_compressed_wav_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)

    with pytest.raises(UnsupportedWavCodec, match="no ffmpeg"):
        heard(gsm(1))


def test_pydub_starts_ffmpeg_confined(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    popen = subprocess.Popen

    def record(command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        started.append(command)
        return popen(command, **options)

    monkeypatch.setattr(subprocess, "Popen", record)

    assert heard(gsm(2)).shape == (640, 1)
    (command,) = started
    assert command[3:5] == [confine.__file__, str(os.getpid())]
    options = command[6 : command.index("-i")]
    assert options[: len(decode._FFMPEG_OPTIONS)] == list(decode._FFMPEG_OPTIONS)
    assert options[-4:] == ["-f", "wav", "-acodec", "gsm_ms"]
