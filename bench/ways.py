"""The ways from a WAV to an MP3 that are compared."""

import importlib.metadata
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import imageio_ffmpeg

from bench.services import PLAIN, Service

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Newer Pythons dislike its regular expressions.
    import pydub

POST = "POST /record"
KEPT_ALIVE = "POST /record without curl"
FFMPEG = "ffmpeg in.wav out.mp3"
FFMPEG_VBR = "ffmpeg -q:a 2"
LAME_VBR = "lame -V2"
PYDUB = "pydub in process"


class Way(NamedTuple):
    """One of those compared."""

    name: str
    convert: Callable[[Path], int]
    """Makes an MP3 of a WAV; returns the MP3's size in bytes."""


def all_ways(quaver: Service, plain: Service, folder: Path) -> list[Way]:
    """The product first; programs write their MP3s into `folder`."""
    programs = {
        FFMPEG: [ffmpeg_program(), "-y", "-i", "{wav}", "{mp3}"],
        FFMPEG_VBR: [ffmpeg_program(), "-y", "-i", "{wav}", "-q:a", "2", "{mp3}"],
    }
    if lame := shutil.which("lame"):
        programs[LAME_VBR] = [lame, "-V2", "{wav}", "{mp3}"]
    return [
        post(quaver, POST),
        Way(KEPT_ALIVE, _without_curl(quaver)),
        *(Way(name, _program(command, folder)) for name, command in programs.items()),
        Way(PYDUB, _pydub(folder)),
        post(plain, PLAIN),
    ]


def post(service: Service, name: str) -> Way:
    """Upload with curl, from its start to its end."""
    return Way(name, lambda wav: int(service.upload(wav)["size"]))


def ffmpeg_program() -> str:
    return shutil.which("ffmpeg") or str(imageio_ffmpeg.get_ffmpeg_exe())


def versions() -> str:
    """Of the encoders that take part; the product's is lameenc."""
    found = [f"ffmpeg {_first_line(ffmpeg_program(), '-version').split()[2]}"]
    if lame := shutil.which("lame"):
        found.append(f"LAME {_first_line(lame, '--version').partition('version ')[2].split()[0]}")
    found += [f"{name} {importlib.metadata.version(name)}" for name in ("lameenc", "pydub")]
    return ", ".join(found)


def _without_curl(service: Service) -> Callable[[Path], int]:
    """What a program has to wait that keeps its connection."""
    connection = service.connection()

    def convert(wav: Path) -> int:
        return int(connection.upload("/record", service.user, wav).json()["size"])

    return convert


def _program(command: list[str], folder: Path) -> Callable[[Path], int]:
    """A program on its own; `{wav}` and `{mp3}` in its command stand for the files."""

    def convert(wav: Path) -> int:
        with tempfile.NamedTemporaryFile(suffix=".mp3", dir=folder) as mp3:
            _run([word.format(wav=wav, mp3=mp3.name) for word in command])
            return Path(mp3.name).stat().st_size

    return convert


def _pydub(folder: Path) -> Callable[[Path], int]:
    """What a service does that converts in the request, without its receiving and storing."""
    pydub.AudioSegment.converter = ffmpeg_program()

    def convert(wav: Path) -> int:
        mp3 = folder / "pydub.mp3"
        with pydub.AudioSegment.from_wav(wav).export(mp3, format="mp3"):
            return mp3.stat().st_size

    return convert


def _first_line(*command: str) -> str:
    return _run([*command]).partition("\n")[0]


def _run(command: list[str]) -> str:
    """Its standard output."""
    done = subprocess.run(
        command,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return done.stdout
