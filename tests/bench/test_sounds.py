import wave
from pathlib import Path

from bench.sounds import Sound


def test_a_sound_lasts_as_long_as_it_says(tmp_path: Path) -> None:
    for sound in (Sound(3), Sound(61, sample_rate_hz=8_000, channels=1)):
        with wave.open(str(sound.write(tmp_path))) as wav:
            assert wav.getnframes() == sound.seconds * sound.sample_rate_hz
            assert wav.getnchannels() == sound.channels


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    path = Sound(3).write(tmp_path)
    path.write_bytes(b"")

    assert Sound(3).write(tmp_path).read_bytes() == b""


def test_sounds_are_told_apart_by_name() -> None:
    assert Sound(60).name == "60 s"
    assert Sound(60, sample_rate_hz=8_000, channels=1).name == "60 s, 8 kHz mono"
