from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest

from shared.errors import InvalidWav
from tests.audio import Samples, decoded, music
from worker import encode, mp3

OTHER_RATES = {4000: 8000, 7999: 8000, 11_127: 11_025, 44_099: 32_000, 47_999: 44_100}
HIGH_RATES = {88_200: 48_000, 96_000: 48_000, 192_000: 48_000, 768_000: 48_000}


def to_mp3(samples: Samples, sample_rate_hz: int, quality: int = 2) -> tuple[bytes, encode.Mp3]:
    sink = BytesIO()
    blocks = np.array_split(samples, len(samples) // 5000 + 1)
    made = encode.to_mp3(
        blocks,
        sink,
        sample_rate_hz=sample_rate_hz,
        channels=samples.shape[1],
        quality=quality,
    )
    return sink.getvalue(), made


def loudness_of_difference(one: Samples, other: Samples) -> float:
    """Relative to `one`."""
    difference = one.astype(float) - other
    return float(np.sqrt(np.mean(difference**2) / np.mean(one.astype(float) ** 2)))


@pytest.mark.parametrize("sample_rate_hz", mp3.SAMPLE_RATES_HZ)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_decoder_gives_back_every_sample_in_its_place(sample_rate_hz: int, channels: int) -> None:
    samples = music(0.5, sample_rate_hz=sample_rate_hz, channels=channels)

    sound, made = to_mp3(samples, sample_rate_hz, quality=0)

    heard = decoded(sound, channels=channels)
    assert (made.sample_rate_hz, made.channels) == (sample_rate_hz, channels)
    assert made.sample_frames == len(heard) == len(samples)
    assert loudness_of_difference(samples, heard) < 0.15


@pytest.mark.parametrize("sample_frames", [1, 2, 47, 100, 575, 576, 577, 1151, 1152, 1153, 2304])
@pytest.mark.parametrize("sample_rate_hz", [44_100, 22_050, 8000])
def test_the_shortest_sounds_keep_their_length(sample_frames: int, sample_rate_hz: int) -> None:
    samples = music(1, sample_rate_hz=sample_rate_hz, channels=1)[:sample_frames]

    sound, made = to_mp3(samples, sample_rate_hz)

    assert made.sample_frames == sample_frames
    assert len(decoded(sound, channels=1)) == sample_frames


@pytest.mark.parametrize(("wav_hz", "mp3_hz"), (OTHER_RATES | HIGH_RATES).items())
def test_other_rates_become_the_nearest_below(wav_hz: int, mp3_hz: int) -> None:
    samples = music(0.3, sample_rate_hz=wav_hz, channels=1)

    sound, made = to_mp3(samples, wav_hz, quality=0)

    heard = decoded(sound, channels=1)
    assert made.sample_rate_hz == mp3_hz
    assert made.sample_frames == len(heard)
    assert len(heard) == int(len(samples) * mp3_hz / wav_hz + 0.5)
    same_place = np.interp(
        np.arange(len(heard)) / mp3_hz, np.arange(len(samples)) / wav_hz, samples[:, 0]
    )[:, None]
    assert loudness_of_difference(same_place.astype(np.int16), heard) < 0.25


@pytest.mark.parametrize(("wav_hz", "mp3_hz"), (OTHER_RATES | HIGH_RATES).items())
def test_a_pulse_is_heard_when_it_was_at_any_rate(wav_hz: int, mp3_hz: int) -> None:
    """To a tenth of a sample frame."""
    time, middle, width = np.arange(wav_hz) / wav_hz, 0.4321, 8 / min(wav_hz, mp3_hz)
    pulse = 30_000 * np.exp(-(((time - middle) / width) ** 2))

    sound, _ = to_mp3(pulse.astype(np.int16)[:, None], wav_hz, quality=0)

    heard = decoded(sound, channels=1)[:, 0].astype(float)
    centre = np.average(np.arange(len(heard)) / mp3_hz, weights=heard**2)
    assert abs(centre - middle) * mp3_hz < 0.1


@pytest.mark.parametrize("pitch_hz", [25_000, 28_800, 40_000])
def test_a_tone_above_what_mp3_can_hold_is_not_heard(pitch_hz: int) -> None:
    time = np.arange(96_000) / 96_000
    swell = np.sin(np.pi * time) ** 2
    tone = 32_767 * swell * np.sin(2 * np.pi * pitch_hz * time)

    sound, _ = to_mp3(tone.astype(np.int16)[:, None], 96_000, quality=0)

    assert np.abs(decoded(sound, channels=1).astype(int)).max() <= 1


@pytest.mark.parametrize("sample_frames", [1, 7, 8, 9, 100])
def test_the_shortest_sounds_at_the_highest_rate_are_sounds(sample_frames: int) -> None:
    sound, made = to_mp3(music(0.01, sample_rate_hz=768_000)[:sample_frames], 768_000)

    assert made.sample_frames == max(1, round(sample_frames / 16))
    assert len(decoded(sound, channels=2)) == made.sample_frames


def test_the_header_frame_counts_what_is_there() -> None:
    sound, made = to_mp3(music(1), 44_100)

    assert len(sound) == made.size_bytes
    frames = mp3.Framer().feed(sound)
    assert b"".join(frames) == sound
    assert len(frames) == made.frames + 1
    assert int.from_bytes(sound[44:48], "big") == made.frames
    assert int.from_bytes(sound[48:52], "big") == made.size_bytes
    assert int.from_bytes(sound[188:190], "big") == mp3.crc16(sound[len(frames[0]) :])
    assert made.duration_seconds == 1


@pytest.mark.parametrize("quality", range(10))
def test_every_quality_encodes_and_a_worse_one_is_smaller(quality: int) -> None:
    samples = music(1)

    sound, made = to_mp3(samples, 44_100, quality)

    assert made.sample_rate_hz == 44_100
    assert len(decoded(sound, channels=2)) == 44_100
    if quality:
        assert made.size_bytes < to_mp3(samples, 44_100, quality - 1)[1].size_bytes


def test_the_mp3_begins_where_the_sink_stands() -> None:
    sink = BytesIO(b"ID3...")
    sink.seek(0, 2)

    made = encode.to_mp3([music()], sink, sample_rate_hz=44_100, channels=2, quality=2)

    assert sink.getvalue() == b"ID3..." + to_mp3(music(), 44_100)[0]
    assert sink.tell() == 6 + made.size_bytes


def test_blocks_of_any_size_give_the_same_mp3() -> None:
    samples = music(0.5)
    small = np.array_split(samples, 99)
    sink = BytesIO()

    encode.to_mp3(small, sink, sample_rate_hz=44_100, channels=2, quality=2)

    assert sink.getvalue() == to_mp3(samples, 44_100)[0]


def test_progress_is_told_and_may_stop_the_work() -> None:
    told: list[int] = []

    class Stop(Exception):
        pass

    def progress(done: int) -> None:
        told.append(done)
        if done >= 30:
            raise Stop

    def blocks() -> Iterator[Samples]:
        while True:
            yield np.zeros((10, 2), np.int16)

    with pytest.raises(Stop):
        encode.to_mp3(
            blocks(), BytesIO(), sample_rate_hz=44_100, channels=2, quality=2, progress=progress
        )

    assert told == [10, 20, 30]


def test_no_samples_are_no_recording() -> None:
    with pytest.raises(InvalidWav, match="no samples"):
        encode.to_mp3([], BytesIO(), sample_rate_hz=44_100, channels=2, quality=2)
