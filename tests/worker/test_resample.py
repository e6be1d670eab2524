from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.audio import Samples
from worker import encode, mp3, segments
from worker.resample import Resampler, length

RATES_HZ = [
    *(4000, 5512, 6000, 11_127, 22_255, 37_800, 47_999, 48_048, 50_000, 64_000),
    *(88_200, 96_000, 176_400, 192_000, 352_800, 384_000, 705_600, 768_000),
]
"""What MPEG audio has not."""

any_rate = st.integers(4000, 768_000) | st.sampled_from(RATES_HZ)


def resampled(samples: Samples, from_hz: int, *, skip: int = 0, blocks: int = 1) -> Samples:
    to_hz = encode.output_rate_hz(from_hz)
    resampler = Resampler(from_hz, to_hz, samples.shape[1], skip=skip)
    made = [resampler.feed(block) for block in np.array_split(samples, blocks)]
    return np.concatenate([*made, resampler.flush()])


def noise(sample_frames: int, channels: int = 2) -> Samples:
    """White, and loud: nothing else shows so well what differs."""
    random = np.random.default_rng(seed=3)
    return random.integers(-9000, 9000, (sample_frames, channels), np.int16)


def tone(pitch_hz: float, rate_hz: int, *, seconds: float = 1) -> Samples:
    """At full scale, swelling and fading so that no click is heard."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    swell = np.sin(np.pi * time / seconds) ** 2
    scaled: Samples = np.rint(32767 * swell * np.sin(2 * np.pi * pitch_hz * time)).astype(np.int16)
    return scaled[:, None]


def loudness(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=float))))


@settings(deadline=None, max_examples=200)
@given(any_rate, st.integers(1, 20_000), st.integers(1, 2), st.integers(1, 9))
def test_a_sound_keeps_its_length(from_hz: int, sample_frames: int, channels: int, n: int) -> None:
    to_hz = encode.output_rate_hz(from_hz)

    made = resampled(noise(sample_frames, channels), from_hz, blocks=n)

    rounded = int(Fraction(sample_frames * to_hz, from_hz) + Fraction(1, 2))
    assert len(made) == length(sample_frames, from_hz, to_hz) == max(rounded, 1)
    assert made.shape[1] == channels


@pytest.mark.parametrize("from_hz", [64_000, 96_000, 768_000])
@pytest.mark.parametrize("sample_frames", range(1, 10))
def test_halves_are_rounded_up_and_one_sample_frame_is_left(
    from_hz: int, sample_frames: int
) -> None:
    expected = max(1, int(sample_frames * 48_000 / from_hz + 0.5))

    assert len(resampled(noise(sample_frames), from_hz)) == expected


@settings(deadline=None, max_examples=50)
@given(any_rate, st.integers(1, 99))
def test_blocks_of_any_size_give_the_same_sound(from_hz: int, blocks: int) -> None:
    samples = noise(20_000)

    assert np.array_equal(resampled(samples, from_hz, blocks=blocks), resampled(samples, from_hz))


def test_what_needs_no_resampling_passes_as_it_is() -> None:
    samples = noise(1000)
    resampler = Resampler(44_100, 44_100, 2)

    assert resampler.feed(samples) is samples
    assert len(resampler.flush()) == 0


@pytest.mark.parametrize("from_hz", RATES_HZ)
def test_a_pulse_stays_in_its_place(from_hz: int) -> None:
    """To a tenth of a sample, at the lower rate."""
    to_hz = encode.output_rate_hz(from_hz)
    width, middle = 4 / min(from_hz, to_hz), 0.3
    time = np.arange(from_hz // 2) / from_hz
    pulse = 30_000 * np.exp(-(((time - middle) / width) ** 2))

    made = resampled(pulse.astype(np.int16)[:, None], from_hz)[:, 0]

    centre = np.average(np.arange(len(made)) / to_hz, weights=made.astype(float) ** 2)
    assert abs(centre - middle) < width / 40


@pytest.mark.parametrize("from_hz", [rate for rate in RATES_HZ if rate > 8000])
def test_what_the_new_rate_cannot_hold_is_removed_not_mirrored(from_hz: int) -> None:
    to_hz = encode.output_rate_hz(from_hz)

    for pitch_hz in np.linspace(to_hz / 2, from_hz / 2, 8)[1:-1]:
        made = resampled(tone(pitch_hz, from_hz), from_hz)
        assert np.abs(made.astype(int)).max() <= 1  # 90 dB down is a step of 16 bits.


@pytest.mark.parametrize("from_hz", RATES_HZ)
def test_what_both_rates_can_hold_stays_as_loud_as_it_was(from_hz: int) -> None:
    to_hz = encode.output_rate_hz(from_hz)

    for share in (0.01, 0.3, 0.6, 0.8, 0.85, 0.9):
        sound = tone(share * min(from_hz, to_hz) / 2, from_hz)
        ratio = loudness(resampled(sound, from_hz)) / loudness(sound)
        assert abs(20 * np.log10(ratio)) < 0.1


@pytest.mark.parametrize("from_hz", [4000, 50_000, 88_200, 96_000, 192_000])
def test_what_overshoots_is_clipped_and_does_not_wrap(from_hz: int) -> None:
    half_waves = np.arange(from_hz) // (from_hz // 50)
    square = np.where(half_waves % 2, 32767, -32768).astype(np.int16)

    made = resampled(square[:, None], from_hz)[:, 0].reshape(50, -1)

    assert made.min() == -32768
    assert made.max() == 32767
    assert made[0::2, 1:-1].max() < 0 < made[1::2, 1:-1].min()


@pytest.mark.parametrize("from_hz", [*RATES_HZ, 44_099, 48_001, 767_999])
def test_no_more_than_two_thousand_sample_frames_wait(from_hz: int) -> None:
    to_hz = encode.output_rate_hz(from_hz)
    resampler, made = Resampler(from_hz, to_hz, 1), 0

    for number in range(1, 500):
        made += len(resampler.feed(np.zeros((997, 1), np.int16)))
        assert 0 <= length(997 * number, from_hz, to_hz) - made <= 2000


def test_what_is_skipped_is_left_out_even_over_several_blocks() -> None:
    samples = noise(9000)

    made = resampled(samples, 96_000, skip=2000, blocks=50)

    assert np.array_equal(made, resampled(samples, 96_000)[2000:])


@pytest.mark.parametrize("from_hz", RATES_HZ)
def test_a_segment_is_resampled_as_the_whole_is(from_hz: int) -> None:
    """But for one step of 16 bits, of one sample in a million.

    Where rates have little in common libsoxr rounds the time between sample frames to 2**-32, and
    a whole drifts from its segments: by up to some ten-thousandths of a sample in a minute.
    """
    to_hz = encode.output_rate_hz(from_hz)
    per_frame = mp3.plain_header(to_hz, 1).sample_frames
    samples = noise(350 * per_frame * from_hz // to_hz, channels=1)
    whole = resampled(samples, from_hz).astype(int)

    for segment in segments.cut(len(samples), [150, 260], wav_rate_hz=from_hz, mp3_rate_hz=to_hz):
        begin = segment.encoder_frame * per_frame
        end = (segment.stop_frame or 350) * per_frame
        part = resampled(samples[segment.start : segment.stop], from_hz, skip=segment.skip)
        settled = 216 if segment.start else 0
        difference = np.abs(part[settled : end - begin] - whole[begin + settled : end])
        assert difference.max() <= 1
        assert np.mean(difference) < (0.1 if Fraction(from_hz, to_hz).denominator > 2000 else 1e-4)
