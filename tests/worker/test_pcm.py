import struct
from fractions import Fraction
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.audio import (
    ALAW,
    EXTENSIBLE,
    FLOAT,
    MULAW,
    PCM,
    Samples,
    chunk,
    extension,
    fmt,
    make_wav,
    music,
    read,
    riff,
)
from worker import pcm


def all_of(upload: bytes, **options: int) -> Samples:
    blocks = list(pcm.blocks(BytesIO(upload), read([upload]), **options))
    return np.concatenate(blocks)


def mono(raw: bytes, tag: int, bits: int) -> list[int]:
    """The samples that these bytes become, as one channel."""
    header = fmt(tag, channels=1, bits=bits)
    found: list[int] = all_of(riff(chunk(b"fmt ", header), chunk(b"data", raw)))[:, 0].tolist()
    return found


def rounded(numerator: int, denominator: int) -> int:
    """To the nearest, a half up, and no louder than can be."""
    return min((2 * numerator + denominator) // (2 * denominator), 32767)


def test_16_bits_pass_through() -> None:
    samples = music(channels=2)

    assert np.array_equal(all_of(make_wav(samples=samples)), samples)


def test_a_block_of_16_bit_stereo_is_no_copy() -> None:
    upload = make_wav()

    block = next(pcm.blocks(BytesIO(upload), read([upload])))

    assert not block.flags.owndata
    assert not block.flags.writeable


@given(st.binary(min_size=1, max_size=60))
def test_8_bits_are_offset_binary(raw: bytes) -> None:
    assert mono(raw, PCM, 8) == [(byte - 128) * 256 for byte in raw]


@given(st.lists(st.integers(-(2**23), 2**23 - 1), min_size=1))
def test_24_bits_are_rounded(samples: list[int]) -> None:
    raw = b"".join(sample.to_bytes(3, "little", signed=True) for sample in samples)

    assert mono(raw, PCM, 24) == [rounded(sample, 1 << 8) for sample in samples]


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1))
def test_32_bits_are_rounded(samples: list[int]) -> None:
    raw = struct.pack(f"<{len(samples)}i", *samples)

    assert mono(raw, PCM, 32) == [rounded(sample, 1 << 16) for sample in samples]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_64_bits_are_rounded(samples: list[int]) -> None:
    raw = struct.pack(f"<{len(samples)}q", *samples)

    assert mono(raw, PCM, 64) == [rounded(sample, 1 << 48) for sample in samples]


@pytest.mark.parametrize(("code", "bits"), [("f", 32), ("d", 64)])
@given(data=st.data())
def test_floats_are_rounded_and_clipped(code: str, bits: int, data: st.DataObject) -> None:
    samples = data.draw(st.lists(st.floats(width=32), min_size=1))

    heard = mono(struct.pack(f"<{len(samples)}{code}", *samples), FLOAT, bits)

    for sample, sound in zip(samples, heard, strict=True):
        if not np.isfinite(sample):
            assert sound == 0
        else:
            exact = max(Fraction(-32768), min(Fraction(sample) * 32768, Fraction(32767)))
            assert abs(sound - exact) <= Fraction(1, 2)


def test_signalling_and_huge_floats_raise_no_warning() -> None:
    singles = bytes.fromhex("0100a07f 0100c0ff ffff7f7f ffff7fff")
    doubles = struct.pack("<3d", 1.7e308, -1.7e308, 5e-324)

    assert mono(singles, FLOAT, 32) == [0, 0, 32767, -32768]
    assert mono(doubles, FLOAT, 64) == [32767, -32768, 0]


def g711_a(code: int) -> int:
    """One sample as ITU-T G.711 describes it, in 16 bits."""
    code ^= 0x55
    exponent, mantissa = code >> 4 & 7, code & 15
    magnitude = (mantissa << 4) + 8
    if exponent:
        magnitude = (magnitude + 0x100) << (exponent - 1)
    return magnitude if code & 0x80 else -magnitude


def g711_mu(code: int) -> int:
    code ^= 0xFF
    magnitude = (((code & 15) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return -magnitude if code & 0x80 else magnitude


def test_both_laws_are_those_of_g711() -> None:
    codes = bytes(range(256))

    assert mono(codes, ALAW, 8) == [g711_a(code) for code in codes]
    assert mono(codes, MULAW, 8) == [g711_mu(code) for code in codes]
    assert mono(b"\xd5\x55\xaa\x2a", ALAW, 8) == [8, -8, 32256, -32256]
    assert mono(b"\xff\x7f\x80\x00", MULAW, 8) == [0, 0, 32124, -32124]


@pytest.mark.parametrize(
    ("bits", "valid_bits"), [(16, 12), (24, 12), (24, 16), (24, 20), (32, 12), (32, 20), (32, 24)]
)
def test_valid_bits_are_the_upper_ones(bits: int, valid_bits: int) -> None:
    loud, soft = 1 << (bits - 2), -1 << (bits - valid_bits)
    raw = b"".join(sample.to_bytes(bits // 8, "little", signed=True) for sample in (loud, soft))
    header = fmt(EXTENSIBLE, channels=1, bits=bits, extra=extension(valid_bits=valid_bits))

    heard = all_of(riff(chunk(b"fmt ", header), chunk(b"data", raw)))

    assert heard.tolist() == [[16384], [rounded(soft, 1 << (bits - 16))]]


@pytest.mark.parametrize(("bits", "container"), [(12, 16), (12, 32), (20, 24), (20, 32), (24, 32)])
def test_a_plain_header_may_give_the_valid_bits_too(bits: int, container: int) -> None:
    """The size of a block then tells the container's."""
    header = fmt(channels=1, bits=bits, block_align=container // 8)
    raw = (1 << (container - 2)).to_bytes(container // 8, "little")

    assert all_of(riff(chunk(b"fmt ", header), chunk(b"data", raw))).tolist() == [[16384]]


@given(start=st.integers(0, 120), stop=st.integers(0, 120), block_frames=st.integers(1, 50))
def test_any_range_in_any_blocks_is_a_slice(start: int, stop: int, block_frames: int) -> None:
    samples = music(0.1, sample_rate_hz=1000, channels=1)
    upload = make_wav(samples=samples, sample_rate_hz=8000)

    blocks = list(
        pcm.blocks(
            BytesIO(upload), read([upload]), block_frames=block_frames, start=start, stop=stop
        )
    )

    assert all(len(block) <= block_frames for block in blocks)
    assert np.array_equal(np.concatenate([samples[:0], *blocks]), samples[start:stop])


def surround(channels: int, mask: int, loud: int) -> tuple[int, int]:
    """Left and right when one channel of many sounds."""
    samples = np.zeros((1, channels), "<i2")
    samples[0, loud] = 10_000
    header = fmt(EXTENSIBLE, channels=channels, extra=extension(mask=mask))
    upload = riff(chunk(b"fmt ", header), chunk(b"data", samples.tobytes()))
    left, right = all_of(upload)[0].tolist()
    return left, right


@pytest.mark.parametrize("mask", [0x3F, 0])
def test_5_1_is_mixed_as_itu_r_bs_775_has_it(mask: int) -> None:
    """Scaled by 1 / (1 + 2 * 0.7071): centre and surround 3 dB down, low frequencies left out."""
    heard = [surround(6, mask, loud) for loud in range(6)]

    assert heard == [(4142, 0), (0, 4142), (2929, 2929), (0, 0), (2929, 0), (0, 2929)]


def test_the_mask_says_which_channel_is_where() -> None:
    """Front left, front right and back centre."""
    assert surround(3, 0x103, 2) == (3333, 3333)


@pytest.mark.parametrize("mask", [0, 0x1, 0x80000000])
def test_channels_without_a_place_are_heard_in_the_middle(mask: int) -> None:
    left, right = surround(16, mask, 15)

    assert left == right > 0


@given(st.integers(3, 32), st.integers(0, 2**32 - 1))
def test_no_mix_can_clip(channels: int, mask: int) -> None:
    matrix = pcm.downmix_matrix(channels, mask)

    assert matrix.min() >= 0
    assert matrix.sum(axis=0).max() == pytest.approx(1)


def test_a_file_that_lost_its_end_is_noticed() -> None:
    upload = make_wav()

    with pytest.raises(EOFError):
        list(pcm.blocks(BytesIO(upload[:-1]), read([upload])))
