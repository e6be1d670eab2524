import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.errors import InvalidWav, UnsupportedWavCodec, UploadTooLarge
from tests.audio import Samples, chunk, compressed, decoded, fmt, music, read, riff
from worker import confine, decode


def heard(upload: bytes) -> Samples:
    return np.concatenate(list(decode.blocks(BytesIO(upload), read([upload]))))


def gsm(blocks: int) -> bytes:
    """Noise, for any bits make a GSM frame."""
    data = np.random.default_rng(seed=1).bytes(65 * blocks)
    header = fmt(0x31, channels=1, sample_rate_hz=8000, bits=0, block_align=65, extra=b"\x40\1")
    return riff(chunk(b"fmt ", header), chunk(b"data", data))


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
        "libmp3lame": compressed("libmp3lame", music(3)),
    }


@pytest.mark.parametrize("codec", ["adpcm_ms", "adpcm_ima_wav", "gsm_ms", "libmp3lame"])
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
        (0, b"no MP3 frame here", "no layer III frame"),
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


def confined(*command: str) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, "-I", "-S", confine.__file__, str(os.getpid())]
    return subprocess.run([*script, *command], capture_output=True, text=True, check=False)


def test_ffmpeg_reads_nothing_but_what_it_is_handed(tmp_path: Path) -> None:
    """The options that pydub's command gets would refuse any file and any other format."""
    playlist = tmp_path / "list.wav"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/\n")

    refused = confined(
        decode._ffmpeg(), *decode._FFMPEG_OPTIONS, "-i", str(playlist), "-f", "wav", "-"
    )

    assert refused.returncode != 0
    assert "not on whitelist" in refused.stderr.lower()


def test_a_confined_program_writes_no_file(tmp_path: Path) -> None:
    target = tmp_path / "written"

    stopped = confined("/bin/sh", "-c", f"echo text > {target}")

    assert stopped.returncode != 0
    assert not target.exists() or target.read_text() == ""


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_confined_program_dies_with_its_parent() -> None:
    script = (
        "import os, subprocess, sys;"
        f"command = [sys.executable, {confine.__file__!r}, str(os.getpid()), '/bin/cat'];"
        "child = subprocess.Popen(command, stdin=subprocess.PIPE);"
        "child.stdin.write(b'alive'); child.stdin.flush(); child.wait()"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.read(5) == b"alive"

        parent.kill()

        # The end of the pipe comes when the last process that could write to it is gone.
        assert parent.stdout.read() == b""
