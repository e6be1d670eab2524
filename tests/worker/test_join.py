"""The criterion throughout: what a single pass over the same sound gives.

Frames of the highest bitrate are the exception to "the same": what LAME leaves out of them depends
on how full the bit reservoir is, and that on everything before.
"""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import audio
from tests.audio import Samples
from worker import encode, join, mp3, reservoir, segments
from worker.resample import Resampler
from worker.segments import EDGE_FRAMES

Wave = npt.NDArray[np.float64]

QUALITY = 2
FRAMES = 300
CUTS = [70, 150, 237]
"""Of sounds that long, in MP3 frames: behind a short lead-in and behind full ones."""


def music(time: Wave, noise: Wave) -> Wave:
    """Plucked strings."""
    pitches = 220 * 2 ** (np.array([0, 4, 7, 12, 16, 12, 7, 4]) / 12)
    since = time % 0.25
    pitch = pitches[(time / 0.25).astype(int) % len(pitches)]
    sound = np.sum([np.sin(2 * np.pi * k * pitch * since) / k for k in range(1, 6)], axis=0)
    plucked: Wave = sound * np.exp(-6 * since) * 0.4 + 0.002 * noise
    return plucked


def speech(time: Wave, noise: Wave) -> Wave:
    """Voiced and hissed syllables with pauses."""
    pitch = np.cumsum(120 + 30 * np.sin(4 * time)) * (time[1] - time[0])
    voice = np.sum([np.sin(2 * np.pi * k * pitch) / k for k in range(1, 20)], axis=0)
    syllable = np.sin(2 * np.pi * 2.3 * time)
    spoken: Wave = (
        0.2 * voice * np.clip(syllable, 0, 1) + 0.1 * noise * np.clip(-syllable, 0, 1) ** 4
    )
    return spoken


def castanets(time: Wave, noise: Wave) -> Wave:
    return 0.4 * noise * np.exp(-120 * (time % 0.17)) + 0.0005 * noise


def loud_and_quiet(time: Wave, noise: Wave) -> Wave:
    return (music(time, noise) + 0.2 * noise) * np.where(time % 1.7 < 0.8, 1, 0.002)


def silence(time: Wave, noise: Wave) -> Wave:
    return 0 * noise


def square(time: Wave, noise: Wave) -> Wave:
    wave: Wave = np.sign(np.sin(2 * np.pi * 311 * time)) + 0 * noise
    return wave


def gaps(time: Wave, noise: Wave) -> Wave:
    """Noise between silences: empty frames whose reservoir is that of the frames far ahead."""
    return 0.5 * noise * (time % 1.3 < 0.4)


SOUNDS = [music, speech, castanets, loud_and_quiet, silence, square, gaps]
Sound = Callable[[Wave, Wave], Wave]


def per_frame(rate_hz: int) -> int:
    return mp3.plain_header(rate_hz, 1).sample_frames


def make(sound: Sound, rate_hz: int, channels: int, frames: int = FRAMES) -> Samples:
    """As many MP3 frames of it, and a bit; the channels differ."""
    time = np.arange(frames * per_frame(rate_hz) + 100) / rate_hz
    random = np.random.default_rng(seed=2)
    made = [sound(time * (1 + 0.2 * n), random.normal(size=len(time))) for n in range(channels)]
    samples: Samples = (np.clip(np.stack(made, axis=1), -1, 1) * 32767).astype(np.int16)
    return samples


def single_pass(samples: Samples, rate_hz: int, quality: int = QUALITY) -> bytes:
    sink = BytesIO()
    channels = samples.shape[1]
    encode.to_mp3([samples], sink, sample_rate_hz=rate_hz, channels=channels, quality=quality)
    return sink.getvalue()


def piece(
    samples: Samples, segment: segments.Segment, rate_hz: int, quality: int = QUALITY
) -> join.Piece:
    return encode.piece(
        [samples[segment.start : segment.stop]],
        segment,
        sample_rate_hz=rate_hz,
        channels=samples.shape[1],
        quality=quality,
    )


def in_pieces(samples: Samples, rate_hz: int, cuts: list[int], quality: int = QUALITY) -> bytes:
    mp3_rate_hz = encode.output_rate_hz(rate_hz)
    planned = segments.cut(len(samples), cuts, wav_rate_hz=rate_hz, mp3_rate_hz=mp3_rate_hz)
    joiner, sound = join.Joiner(), b""
    for segment in planned:
        each = piece(samples, segment, rate_hz, quality)
        sound += joiner.add(each.ends) + each.body
    header, _ = encode.header(joiner.account, len(samples), mp3.Settings(quality, rate_hz))
    return header + sound


def loaded(sound: bytes) -> list[reservoir.Loaded]:
    return reservoir.unpacked(b"", mp3.Framer().feed(sound)[1:], 0)[0]


def is_full(frame: reservoir.Frame) -> bool:
    """Whether it has the highest bitrate that LAME uses: 64 kbit/s in MPEG-2.5."""
    return (frame.header.word >> 12 & 15) == (14 if frame.header.sample_rate_hz >= 16_000 else 8)


def errors(samples: Samples, heard: Samples, window: int) -> npt.NDArray[np.float64]:
    """Mean square error of each window, above that of a 16-bit step."""
    squares = (samples.astype(float) - heard) ** 2
    whole = len(squares) // window * window
    means: npt.NDArray[np.float64] = squares[:whole].reshape(-1, window * samples.shape[1]).mean(1)
    return means + 1


@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.parametrize("rate_hz", [44_100, 22_050, 11_025])
@pytest.mark.parametrize("channels", [1, 2])
def test_pieces_sound_as_a_single_pass_does(sound: Sound, rate_hz: int, channels: int) -> None:
    samples = make(sound, rate_hz, channels)
    whole = single_pass(samples, rate_hz)

    joined = in_pieces(samples, rate_hz, CUTS)

    expected = audio.decoded(whole, channels=channels)
    heard = audio.decoded(joined, channels=channels)
    assert len(heard) == len(expected) == len(samples)
    step = per_frame(rate_hz)
    differs = np.abs(heard.astype(int) - expected).max(axis=1) > 1
    for one, other in zip(loaded(whole), loaded(joined), strict=True):
        assert one.content == other.content or is_full(one.frame) or is_full(other.frame)
    full = [number for number, each in enumerate(loaded(whole)) if is_full(each.frame)]
    for number in full:
        differs[max(0, (number - 2) * step) : (number + 2) * step] = False
    assert not differs.any()
    assert_no_worse(samples, heard, expected, step)


def assert_no_worse(samples: Samples, heard: Samples, expected: Samples, step: int) -> None:
    """Neither on the whole nor in any granule around a cut is `heard` further from `samples`."""
    window = step // 2
    assert errors(samples, heard, window).mean() < 1.05 * errors(samples, expected, window).mean()
    for cut in CUTS:
        around = slice((cut - EDGE_FRAMES) * step, (cut + 16) * step)
        worst, allowed = (
            errors(samples[around], each[around], window).max() for each in (heard, expected)
        )
        assert worst <= 1.2 * allowed


@pytest.mark.parametrize("rate_hz", mp3.SAMPLE_RATES_HZ)
@pytest.mark.parametrize("sound", [castanets, speech])
def test_pieces_are_joined_where_frames_have_no_room(sound: Sound, rate_hz: int) -> None:
    """At the best quality these ask for more bits than there are."""
    samples = make(sound, rate_hz, channels=2)

    joined = in_pieces(samples, rate_hz, CUTS, quality=0)

    assert sum(is_full(each.frame) for each in loaded(joined)) > 20
    assert len(audio.decoded(joined, channels=2)) == len(samples)


@pytest.mark.parametrize("wav_hz", [96_000, 88_200, 48_048, 5_512, 4_000])
def test_resampled_pieces_are_the_same_too(wav_hz: int) -> None:
    samples = music_at(wav_hz)

    joined = in_pieces(samples, wav_hz, CUTS, quality=4)

    whole = single_pass(samples, wav_hz, quality=4)
    assert [each.content for each in loaded(joined)] == [each.content for each in loaded(whole)]


def music_at(wav_hz: int) -> Samples:
    """Music that becomes `FRAMES` MP3 frames."""
    mp3_hz = encode.output_rate_hz(wav_hz)
    seconds = FRAMES * per_frame(mp3_hz) / mp3_hz
    return audio.music(seconds, sample_rate_hz=wav_hz, channels=1)


@pytest.mark.parametrize("wav_hz", [48_001, 47_999, 22_255, 7_999])
def test_pieces_at_odd_rates_sound_no_worse(wav_hz: int) -> None:
    """Here encoders hear steps of 16 bits that differ, and need not make the same of them."""
    samples, mp3_hz = music_at(wav_hz), encode.output_rate_hz(wav_hz)

    joined = in_pieces(samples, wav_hz, CUTS)

    whole = single_pass(samples, wav_hz)
    heard, expected = (audio.decoded(sound, channels=1) for sound in (joined, whole))
    resampler = Resampler(wav_hz, mp3_hz, 1)
    resampled = np.concatenate([resampler.feed(samples), resampler.flush()])
    assert_no_worse(resampled, heard, expected, per_frame(mp3_hz))


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_cuts_may_be_anywhere(data: st.DataObject) -> None:
    sound = data.draw(st.sampled_from(SOUNDS))
    rate_hz = data.draw(st.sampled_from(mp3.SAMPLE_RATES_HZ))
    cut = data.draw(st.integers(EDGE_FRAMES, 130))
    second = data.draw(st.none() | st.integers(cut + EDGE_FRAMES, 199))
    samples = make(sound, rate_hz, data.draw(st.integers(1, 2)), frames=200)

    joined = in_pieces(samples, rate_hz, [cut] if second is None else [cut, second], quality=3)

    whole = single_pass(samples, rate_hz, quality=3)
    for one, other in zip(loaded(whole), loaded(joined), strict=True):
        assert one.content == other.content or is_full(one.frame) or is_full(other.frame)


def test_the_header_frame_counts_the_whole() -> None:
    joined = in_pieces(make(music, 44_100, 2), 44_100, CUTS)

    header, *frames = mp3.Framer().feed(joined)
    account = mp3.Account()
    account.add(frames)
    length = FRAMES * 1152 + 100
    assert header == mp3.header_frame(account, length, mp3.Settings(QUALITY, 44_100))


def test_bodies_and_seams_are_whole_frames_and_few_are_touched() -> None:
    samples = make(music, 44_100, 2)
    one, other = (
        piece(samples, segment, 44_100)
        for segment in segments.cut(len(samples), [150], wav_rate_hz=44_100, mp3_rate_hz=44_100)
    )
    assert one.ends.tail is not None

    joiner = join.Joiner()
    assert joiner.add(one.ends) == b""
    seam = joiner.add(other.ends)

    frames, before = mp3.Framer().feed(seam), mp3.Framer().feed(one.ends.tail.frames)
    assert len(frames) == len(before) == EDGE_FRAMES
    assert sum(a != b for a, b in zip(frames, before, strict=True)) <= 4
    assert len(one.body) == one.ends.body.size_bytes
    assert joiner.account.size_bytes == len(one.body + seam + other.body)
    assert joiner.account.crc == mp3.crc16(one.body + seam + other.body)


def test_ends_go_through_bytes() -> None:
    samples = make(music, 44_100, 1)
    planned = segments.cut(len(samples), CUTS, wav_rate_hz=44_100, mp3_rate_hz=44_100)

    for segment in planned:
        ends = piece(samples, segment, 44_100).ends
        assert join.Ends.from_bytes(ends.to_bytes()) == ends


def test_a_segment_with_too_few_samples_is_broken() -> None:
    segment = segments.cut(FRAMES * 1152, [90, 200], wav_rate_hz=44_100, mp3_rate_hz=44_100)[1]

    with pytest.raises(join.BrokenSegment, match="frames were made"):
        encode.piece([audio.music(1)], segment, sample_rate_hz=44_100, channels=2, quality=QUALITY)


def edges(sound: Sound, *, lead_in: int, quality: int = QUALITY) -> tuple[join.Edge, join.Edge]:
    """Around frame 150 as a single pass makes them, and as one that starts so shortly before."""
    samples = make(sound, 44_100, 2)
    left, right = segments.cut(len(samples), [150], wav_rate_hz=44_100, mp3_rate_hz=44_100)
    left = replace(left, stop=len(samples))
    start = 150 - EDGE_FRAMES - lead_in
    right = replace(right, start=start * 1152, encoder_frame=start)
    tail = piece(samples, left, 44_100, quality).ends.tail
    head = piece(samples, right, 44_100, quality).ends.head
    assert tail is not None
    assert head is not None
    return tail, head


def test_the_join_is_made_where_the_encodes_agree() -> None:
    """Frames after the place of the join that differ are those of the right one."""
    tail, head = edges(castanets, lead_in=0)
    broken = mp3.Framer().feed(head.frames)
    spoilt = bytearray(broken[-1])
    spoilt[20] ^= 0xFF
    head = head._replace(frames=b"".join([*broken[:-1], bytes(spoilt)]))

    seam = mp3.Framer().feed(join.seam(tail, head))

    assert reservoir.Frame(seam[-1]).says == reservoir.Frame(bytes(spoilt)).says
    assert reservoir.Frame(seam[2]).says == reservoir.Frame(mp3.Framer().feed(tail.frames)[2]).says


def test_no_room_anywhere_is_told() -> None:
    """Full frames on both sides, and a right one whose reservoir is fuller than the left one's."""
    word = 0xFFFBE064  # 320 kbit/s at 44.1 kHz: 1044 bytes, 1008 of them for main data.
    bits = 1008 * 8 // 4
    granule = f"{bits:012b}".ljust(59, "0")

    def frames(begin: int) -> bytes:
        side_info = int(f"{begin:09b}".ljust(20, "0") + 4 * granule, 2)
        frame = word.to_bytes(4, "big") + side_info.to_bytes(32, "big")
        return frame.ljust(1044, b"\0") * EDGE_FRAMES

    tail, head = (join.Edge(bytes(511), frames(begin), begin) for begin in (0, 400))

    with pytest.raises(join.NoRoom):
        join.seam(tail, head)
    assert len(join.seam(head, tail)) == 1044 * EDGE_FRAMES
