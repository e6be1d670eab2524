"""The ways from a WAV to an MP3 that are compared, and sounds to compare them with."""

import importlib.metadata
import shutil
import subprocess
import warnings
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

from tests.acceptance.product import Product

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Newer Pythons dislike its regular expressions.
    import pydub

CHORDS_HZ = ((220, 277, 330), (147, 220, 294), (165, 208, 330), (185, 277, 440))
BEAT_SECONDS = 0.5
PARTIALS = 6


class WrongAnswer(Exception):
    """The product did not do what is to be timed."""


@dataclass(frozen=True)
class Sound:
    """A piece of music, 16 bits deep: a chord is plucked and a drum brushed at every beat."""

    name: str
    seconds: int
    sample_rate_hz: int = 44_100
    channels: int = 2

    def write(self, folder: Path) -> Path:
        """Make it a WAV, a beat at a time."""
        path = folder / "in.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(self.channels)
            file.setsampwidth(2)
            file.setframerate(self.sample_rate_hz)
            for beat in self._beats():
                file.writeframes((beat * 32767).astype("<i2").tobytes())
        return path

    def _beats(self) -> Iterator[npt.NDArray[np.float32]]:
        rng = np.random.default_rng(seed=1)
        time = np.arange(self.sample_rate_hz * BEAT_SECONDS, dtype=np.float32)[:, None]
        time /= self.sample_rate_hz
        drum = 0.1 * np.exp(-30 * time)
        for number in range(round(self.seconds / BEAT_SECONDS)):
            beat = drum * rng.standard_normal((len(time), self.channels), np.float32)
            for note_hz in CHORDS_HZ[number // 4 % len(CHORDS_HZ)]:
                for partial in range(1, PARTIALS + 1):
                    balance = 0.2 * rng.random(self.channels, np.float32) / partial
                    tone = np.sin(2 * np.pi * note_hz * partial * time)
                    beat += balance * tone * np.exp(-2 * partial * time)
            yield beat.clip(-1, 1)


class Way(NamedTuple):
    """One of those compared."""

    name: str
    convert: Callable[[Path], int]
    """Makes an MP3 of a WAV; returns the MP3's size in bytes."""


def all_ways(upload: "Upload", folder: Path) -> list[Way]:
    """The product first; the others write their MP3 into `folder`."""
    ffmpeg, mp3 = ffmpeg_program(), folder / "out.mp3"
    others = {
        "ffmpeg": [ffmpeg, "-y", "-i", "{wav}", str(mp3)],
        "ffmpeg -q:a 2": [ffmpeg, "-y", "-i", "{wav}", "-q:a", "2", str(mp3)],
    }
    if lame := shutil.which("lame"):
        others["lame -V2"] = [lame, "-V2", "{wav}", str(mp3)]
    return [
        Way("POST /record", lambda wav: int(upload(wav)["size"])),
        *(Way(name, _program(command, mp3)) for name, command in others.items()),
        Way("pydub, in process", _pydub(ffmpeg, mp3)),
    ]


class Upload:
    """`POST /record` by curl, as a form."""

    def __init__(self, product: Product) -> None:
        user = product.new_user("Benchmark")
        self.product = product
        self._fields = ["-F", f"user={user['id']}", "-F", f"token={user['token']}"]

    def arguments(self, wav: Path) -> list[str]:
        """What curl is given."""
        return [*self._fields, "-F", f"file=@{wav}", f"{self.product.url}/record"]

    def __call__(self, wav: Path) -> dict[str, Any]:
        """The stored record. Raises: WrongAnswer."""
        answer = self.product.curl(*self.arguments(wav))
        if answer.status != HTTPStatus.CREATED:
            raise WrongAnswer(f"POST /record: {answer.status} {answer.body.decode()}")
        return dict(answer.json())

    def check(self, wav: Path, sound: Sound) -> None:
        """See that the link downloads as much of an MP3 as the answer says.

        Raises: WrongAnswer.
        """
        record = self(wav)
        size = len(self.product.get(record["url"]).body)
        if (size, sound.seconds) != (record["size"], record["duration"]):
            raise WrongAnswer(f"{sound.name} became {size} bytes, and the answer was {record}")


def ffmpeg_program() -> str:
    return shutil.which("ffmpeg") or str(imageio_ffmpeg.get_ffmpeg_exe())


def versions() -> str:
    """Of the encoders that take part; the product's is lameenc."""
    found = [f"ffmpeg {_first_line(ffmpeg_program(), '-version').split()[2]}"]
    if lame := shutil.which("lame"):
        found.append(f"LAME {_first_line(lame, '--version').partition('version ')[2].split()[0]}")
    found += [f"{name} {importlib.metadata.version(name)}" for name in ("lameenc", "pydub")]
    return ", ".join(found)


def _program(command: list[str], mp3: Path) -> Callable[[Path], int]:
    """A program on its own; `{wav}` in its command stands for the WAV."""

    def convert(wav: Path) -> int:
        _run([str(wav) if word == "{wav}" else word for word in command])
        return mp3.stat().st_size

    return convert


def _pydub(ffmpeg: str, mp3: Path) -> Callable[[Path], int]:
    """What a service does that converts in the request, without its receiving and storing."""
    pydub.AudioSegment.converter = ffmpeg

    def convert(wav: Path) -> int:
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
