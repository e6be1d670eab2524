"""What ffmpeg cannot do, whatever a stranger's bytes make of it.

Two things hold it, and each must do so alone: the options that `decode` adds to pydub's command,
and what `confine` makes of its process.
"""

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import imageio_ffmpeg
import psutil
import pytest

from tests import audio
from tests.audio import compressed, make_wav, music
from tests.stack import eventually
from worker import confine, decode

ROOT = Path(__file__).parent.parent.parent
WHEEL = str(imageio_ffmpeg.get_ffmpeg_exe())
FFMPEGS = sorted({WHEEL, shutil.which("ffmpeg") or WHEEL})
"""The wheel's, and the machine's if there is one: they may be years apart."""

UNLOCKED = (
    *("-nostdin", "-v", "error"),
    *("-protocol_whitelist", "concat,fd,file,http,pipe,subfile,tcp"),
)
HEAR = ("-f", "s16le", "-")
PATIENCE = ("-rw_timeout", "10000")
"""In microseconds: who is listened to and never answered gives up."""

WRAPPERS = ["{}", "concat:{}|{}", "subfile,,start,0,end,0,,:{}"]
"""Ways to name an input in ffmpeg's own words."""

CONFINED = [sys.executable, "-I", "-S", confine.__file__, str(os.getpid())]

Done = subprocess.CompletedProcess[bytes]
Hold = Callable[..., Done]

linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")


def needs_landlock(version: int) -> pytest.MarkDecorator:
    missing = confine.landlock_version() < version
    return pytest.mark.skipif(missing, reason=f"this kernel has no Landlock of version {version}")


def run(command: list[str], stdin: bytes = b"") -> Done:
    return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=60)


def free(ffmpeg: str, *arguments: str, stdin: bytes = b"") -> Done:
    return run([ffmpeg, *UNLOCKED, *arguments], stdin)


def optioned(ffmpeg: str, *arguments: str, stdin: bytes = b"") -> Done:
    return run([ffmpeg, *decode._FFMPEG_OPTIONS, *arguments], stdin)


def confined(ffmpeg: str, *arguments: str, stdin: bytes = b"") -> Done:
    return run([*CONFINED, ffmpeg, *UNLOCKED, *arguments], stdin)


HOLDS = [optioned, pytest.param(confined, marks=needs_landlock(4))]
"""Each by itself; in a worker it is both."""

DEEDS = [
    "cat {file}",
    "rm {file}",
    "mv {file} {file}.old",
    "cat /proc/{pid}/environ",
    pytest.param("kill -0 {pid}", marks=needs_landlock(6)),
]


@pytest.fixture(params=FFMPEGS, ids=lambda path: "wheel" if path == WHEEL else "machine")
def ffmpeg(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Somebody on this machine who must not be spoken to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A sound that is none of ffmpeg's business."""
    path = tmp_path / "secret.wav"
    path.write_bytes(make_wav(0.1))
    return path


@pytest.fixture
def running(ffmpeg: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[psutil.Process]:
    """An ffmpeg as pydub starts it, in the middle of its work."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://quaver:password@db/quaver")
    arguments = [ffmpeg, "-y", "-f", "wav", "-acodec", "adpcm_ms", "-i", "-", "-f", "wav", "-"]
    pipe = subprocess.PIPE
    with decode._ConfinedSubprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=pipe) as child:
        process = psutil.Process(child.pid)
        eventually(lambda: process.cmdline()[:1] == [ffmpeg])
        yield process
        child.kill()


def is_reached(listener: socket.socket) -> bool:
    """Whether anybody has connected since this was last asked."""
    visits = 0
    with suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            visits += 1
    return visits > 0


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}/a.ts"


def has_ended(process: psutil.Process) -> bool:
    """Though nobody may have asked for its exit code."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_an_ffmpeg_that_nothing_holds_reads_whatever_is_named(
    wrapper: str, ffmpeg: str, listener: socket.socket, secret: Path
) -> None:
    """So that the tests below would tell."""
    url, path = (wrapper.replace("{}", there) for there in (url_of(listener), str(secret)))

    free(ffmpeg, *PATIENCE, "-i", url, *HEAR)
    heard = free(ffmpeg, "-i", path, *HEAR)

    assert is_reached(listener)
    assert len(heard.stdout) >= len(
        audio.decoded(secret.read_bytes(), channels=2, format_name="wav")
    )


@pytest.mark.parametrize("hold", HOLDS)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_ffmpeg_reaches_neither_the_network_nor_a_file(
    wrapper: str, hold: Hold, ffmpeg: str, listener: socket.socket, secret: Path
) -> None:
    for there in (url_of(listener), str(secret)):
        refused = hold(ffmpeg, *PATIENCE, "-i", wrapper.replace("{}", there), *HEAR)

        assert refused.returncode != 0
        assert refused.stdout == b""
    assert not is_reached(listener)


def test_a_playlist_in_place_of_a_wav_leads_nowhere(ffmpeg: str, listener: socket.socket) -> None:
    """An ffmpeg that is given a stranger's bytes alone may be led anywhere by them."""
    playlist = f"#EXTM3U\n#EXTINF:1,\n{url_of(listener)}\n#EXT-X-ENDLIST\n".encode()
    free(ffmpeg, *PATIENCE, "-f", "hls", "-i", "-", *HEAR, stdin=playlist)
    assert is_reached(listener)

    for demuxer in (["-f", "wav"], ["-f", "hls"], []):
        refused = optioned(ffmpeg, *PATIENCE, *demuxer, "-i", "-", *HEAR, stdin=playlist)
        assert refused.returncode != 0

    assert not is_reached(listener)


@pytest.mark.parametrize("container", ["matroska", "mp3"])
def test_no_other_container_is_opened(container: str, ffmpeg: str) -> None:
    to_mp3 = ["-v", "error", "-i", "-", "-c:a", "libmp3lame", "-f", container, "-"]
    sound = audio.ffmpeg(*to_mp3, stdin=make_wav(1))
    assert free(ffmpeg, "-i", "-", *HEAR, stdin=sound).stdout

    refused = optioned(ffmpeg, "-i", "-", *HEAR, stdin=sound)

    assert refused.returncode != 0
    assert b"not on whitelist" in refused.stderr
    assert refused.stdout == b""


@pytest.mark.parametrize("codec", ["wmav2", "pcm_s24le"])
def test_no_other_codec_is_opened(codec: str, ffmpeg: str) -> None:
    """A WAV's tag can ask for any codec that ffmpeg has."""
    upload = compressed(codec, music(1))
    assert free(ffmpeg, "-i", "-", *HEAR, stdin=upload).stdout

    for forced in ([], ["-acodec", codec]):
        refused = optioned(ffmpeg, "-f", "wav", *forced, "-i", "-", *HEAR, stdin=upload)

        assert refused.returncode != 0
        assert b"not on whitelist" in refused.stderr
        assert refused.stdout == b""


@linux
def test_a_running_ffmpeg_is_limited(running: psutil.Process) -> None:
    limits = {
        resource.RLIMIT_AS: confine.ADDRESS_SPACE_BYTES,
        resource.RLIMIT_CPU: confine.CPU_SECONDS,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }

    for limit, value in limits.items():
        assert resource.prlimit(running.pid, limit) == (value, value)
    assert "NoNewPrivs:\t1\n" in Path(f"/proc/{running.pid}/status").read_text()


@linux
def test_a_running_ffmpeg_holds_nothing_of_its_workers(running: psutil.Process) -> None:
    """Neither passwords, which are in a worker's environment, nor connections."""
    handles = (Path(f"/proc/{running.pid}/fd/{number}").readlink() for number in range(3))
    assert all(handle.name.startswith("pipe:") for handle in handles)
    assert running.environ() == {}
    assert running.net_connections("all") == []
    eventually(lambda: running.open_files() == [])  # Its own libraries, at first.


@linux
def test_ffmpeg_ends_with_its_worker(ffmpeg: str) -> None:
    command = [ffmpeg, "-f", "wav", "-i", "-", "-f", "wav", "-"]
    script = (
        "from worker import decode;"
        f"child = decode._ConfinedSubprocess.Popen({command!r});"
        "print(child.pid, flush=True);"
        "child.wait()"
    )
    worker = [sys.executable, "-c", script]
    pipe = subprocess.PIPE  # Whose end is not the worker's: it outlives it.
    with subprocess.Popen(worker, stdin=pipe, stdout=pipe, cwd=ROOT) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        eventually(lambda: child.cmdline()[:1] == [ffmpeg])

        parent.kill()

        eventually(lambda: has_ended(child))


def test_a_confined_program_that_hangs_is_ended() -> None:
    script = (
        "import os; from worker import confine; confine.SECONDS = 0.1;"
        "confine.confine(os.getppid()); os.execv('/bin/sleep', ['sleep', '60'])"
    )

    ended = subprocess.run([sys.executable, "-c", script], check=False, timeout=30, cwd=ROOT)

    assert ended.returncode == -signal.SIGALRM


def test_a_confined_program_writes_no_file(tmp_path: Path) -> None:
    target = tmp_path / "written"

    stopped = run([*CONFINED, "/bin/sh", "-c", f"echo text > {target}"])

    assert stopped.returncode != 0
    assert not target.exists() or target.read_text() == ""


@needs_landlock(1)
@pytest.mark.parametrize("deed", DEEDS)
def test_a_confined_program_does_no_harm(deed: str, tmp_path: Path) -> None:
    """As one would that has found its way around ffmpeg's options."""
    kept = tmp_path / "kept"
    kept.write_text("text")
    command = ["/bin/sh", "-c", deed.format(file=kept, pid=os.getpid())]
    assert run(command).returncode == 0
    kept.write_text("text")

    stopped = run([*CONFINED, *command])

    assert stopped.returncode != 0
    assert stopped.stdout == b""
    assert kept.read_text() == "text"
