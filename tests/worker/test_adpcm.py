from io import BytesIO
from itertools import accumulate

import numpy as np
import pytest

from tests.audio import Samples, chunk, decoded, fmt, noise, read, riff
from worker import adpcm

OKI, DIALOGIC, YAMAHA = 0x10, 0x17, 0x20


def heard(upload: bytes) -> Samples:
    return np.concatenate(list(adpcm.blocks(BytesIO(upload), read([upload]))))


def mono(tag: int, codes: bytes) -> list[int]:
    header = fmt(tag, channels=1, bits=4)
    found: list[int] = heard(riff(chunk(b"fmt ", header), chunk(b"data", codes)))[:, 0].tolist()
    return found


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("tag", [OKI, DIALOGIC, YAMAHA])
def test_noise_is_what_ffmpeg_hears(tag: int, channels: int) -> None:
    upload = noise(tag, channels=channels, bits=4, block_align=1, sample_rate_hz=8000)

    samples = heard(upload)

    assert len(samples) == read([upload]).sample_frames
    assert np.array_equal(samples, decoded(upload, channels=channels, format_name="wav"))


def test_a_sound_is_what_the_data_sheets_say() -> None:
    """Codes 0, 7, 7 and 8 add 1/8, 15/8, 15/8 and -1/8 of a step, which 7 makes grow."""
    oki_steps, yamaha_steps = [16, 16, 34, 73], [127, 127, 304, 729]

    assert mono(OKI, b"\x07\x78") == [16 * sample for sample in walk(oki_steps)]
    assert mono(YAMAHA, b"\x70\x87") == walk(yamaha_steps)


def walk(steps: list[int]) -> list[int]:
    eighths = zip(steps, [1, 15, 15, -1], strict=True)
    return list(accumulate(int(step * eighth / 8) for step, eighth in eighths))


@pytest.mark.parametrize(("tag", "most"), [(OKI, 2047 * 16), (YAMAHA, 32_767)])
def test_no_sample_is_louder_than_can_be(tag: int, most: int) -> None:
    samples = mono(tag, b"\x77" * 20 + b"\xff" * 20)

    least = -most - (16 if tag == OKI else 1)
    assert (samples[39], samples[-1]) == (max(samples), min(samples)) == (most, least)


@pytest.mark.parametrize("tag", [OKI, YAMAHA])
def test_blocks_of_any_size_make_the_same_sound(tag: int, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = noise(tag, size=5_001, channels=2, bits=4)
    whole = heard(upload)

    monkeypatch.setattr(adpcm, "BLOCK_FRAMES", 100)

    assert np.array_equal(heard(upload), whole)


def test_padding_of_the_last_block_is_left_out() -> None:
    header = chunk(b"fmt ", fmt(YAMAHA, bits=4, block_align=1024))
    count = chunk(b"fact", (1_500).to_bytes(4, "little"))
    upload = riff(header, count, chunk(b"data", bytes(2048)))

    assert len(heard(upload)) == 1_500


def test_a_file_that_lost_its_end_is_noticed() -> None:
    upload = noise(OKI, channels=1, bits=4)

    with pytest.raises(EOFError):
        list(adpcm.blocks(BytesIO(upload[:-1]), read([upload])))
