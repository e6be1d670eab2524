import json
import time
import tracemalloc
from io import BytesIO
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidWav, NotAWav, UnsupportedWavCodec, UploadTooLarge
from shared.tags import LIST_BYTES, Tags
from shared.wav import TO_THE_END, Codec, Reader, Wav
from tests.audio import (
    ALAW,
    EXTENSIBLE,
    FLOAT,
    MULAW,
    PCM,
    bext,
    chunk,
    extension,
    fmt,
    info,
    make_wav,
    read,
    riff,
)

FMT = chunk(b"fmt ", fmt())
SILENCE = bytes(4 * 100)


def test_a_plain_wav_is_found() -> None:
    wav = read([make_wav(seconds=0.5, channels=1, sample_rate_hz=8000)])

    assert wav == Wav(
        codec=Codec.PCM,
        format_tag=1,
        channels=1,
        channel_mask=0,
        sample_rate_hz=8000,
        bits=16,
        valid_bits=16,
        block_align_bytes=2,
        fmt_extra=b"",
        data_offset=44,
        data_size_bytes=8000,
        sample_frames=4000,
    )
    assert wav.duration_seconds == 0.5


class Watched(BytesIO):
    """A file that counts what is read of it."""

    read_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        block = super().read(size)
        self.read_bytes += len(block)
        return block


@given(st.integers(0, 2_500))
def test_a_reader_goes_on_behind_what_is_in_a_file(size_bytes: int) -> None:
    whole = riff(info(INAM=b"Lullaby"), FMT, chunk(b"data", bytes(2_000)), chunk(b"junk", b"x"))
    size_bytes = min(size_bytes, len(whole))
    reader = Reader()

    reader.feed_file(BytesIO(whole), size_bytes)
    reader.feed(whole[size_bytes:])

    assert reader.close() == read([whole])


def test_samples_in_a_file_are_not_read() -> None:
    file = Watched(make_wav(seconds=10))
    reader = Reader()

    reader.feed_file(file, len(file.getvalue()))

    assert reader.close().duration_seconds == 10
    assert file.read_bytes < 100


def test_a_wav_survives_json() -> None:
    body = fmt(0x11, bits=4, block_align=1024, extra=b"\xf9\x03")
    wav = read([riff(chunk(b"fmt ", body), info(INAM=b"Lullaby"), chunk(b"data", bytes(2048)))])

    assert Wav.from_json(json.loads(json.dumps(wav.to_json()))) == wav


@pytest.mark.parametrize(
    ("body", "codec", "bits", "valid_bits"),
    [
        (fmt(PCM, bits=8), Codec.PCM, 8, 8),
        (fmt(PCM, bits=12), Codec.PCM, 16, 12),
        (fmt(PCM, bits=20), Codec.PCM, 24, 20),
        (fmt(PCM, bits=24), Codec.PCM, 24, 24),
        (fmt(PCM, bits=24, block_align=8), Codec.PCM, 32, 24),
        (fmt(PCM, bits=12, block_align=8), Codec.PCM, 32, 12),
        (fmt(PCM, bits=20, block_align=8), Codec.PCM, 32, 20),
        (fmt(PCM, bits=32), Codec.PCM, 32, 32),
        (fmt(PCM, bits=64), Codec.PCM, 64, 64),
        (fmt(FLOAT, bits=32), Codec.FLOAT, 32, 32),
        (fmt(FLOAT, bits=64), Codec.FLOAT, 64, 64),
        (fmt(ALAW, bits=8), Codec.ALAW, 8, 8),
        (fmt(MULAW, bits=8), Codec.MULAW, 8, 8),
        (fmt(EXTENSIBLE, bits=16, extra=extension(PCM, valid_bits=12)), Codec.PCM, 16, 12),
        (fmt(EXTENSIBLE, bits=24, extra=extension(PCM, valid_bits=20)), Codec.PCM, 24, 20),
        (fmt(EXTENSIBLE, bits=32, extra=extension(PCM, valid_bits=24)), Codec.PCM, 32, 24),
        (fmt(EXTENSIBLE, bits=16, extra=extension(PCM, valid_bits=0)), Codec.PCM, 16, 16),
        (fmt(EXTENSIBLE, bits=32, extra=extension(FLOAT, valid_bits=32)), Codec.FLOAT, 32, 32),
    ],
)
def test_every_uncompressed_format_is_known(
    body: bytes, codec: Codec, bits: int, valid_bits: int
) -> None:
    wav = read([riff(chunk(b"fmt ", body), chunk(b"data", bytes(16 * 60)))])

    assert (wav.codec, wav.bits, wav.valid_bits) == (codec, bits, valid_bits)
    assert wav.sample_frames == 16 * 60 // wav.block_align_bytes


@pytest.mark.parametrize(
    ("body", "codec", "sample_frames"),
    [
        (fmt(0x10, channels=1, bits=4), Codec.OKI_ADPCM, 200),
        (fmt(0x17, channels=2, bits=4), Codec.OKI_ADPCM, 100),
        (fmt(0x20, channels=2, bits=4, block_align=1024), Codec.YAMAHA_ADPCM, 100),
        (fmt(0x45, channels=1, bits=2), Codec.G726, 400),
        (fmt(0x45, channels=1, bits=3, block_align=40), Codec.G726, 266),
        (fmt(0x64, channels=1, bits=4, block_align=0), Codec.G726, 200),
        (fmt(0x028F, channels=1, bits=8), Codec.G722, 200),
        (fmt(0x28F, channels=1, bits=4), Codec.G722, 200),
    ],
)
def test_codecs_of_a_few_bits_are_as_long_as_these_say(
    body: bytes, codec: Codec, sample_frames: int
) -> None:
    wav = read([riff(chunk(b"fmt ", body), chunk(b"data", bytes(100)))])

    assert (wav.codec, wav.sample_frames) == (codec, sample_frames)


def test_the_channel_mask_is_read() -> None:
    body = fmt(EXTENSIBLE, channels=6, extra=extension(mask=0x3F))

    assert read([riff(chunk(b"fmt ", body), chunk(b"data", SILENCE))]).channel_mask == 0x3F


@pytest.mark.parametrize(
    ("fact", "sample_frames"),
    [(None, 2 * 1017 + 9), (2 * 1017 + 3, 2 * 1017 + 3), (0, 2043), (2044, 2043), (1000, 2043)],
)
def test_a_block_codec_is_as_long_as_fact_says_if_that_can_be(
    fact: int | None, sample_frames: int
) -> None:
    """Two blocks of 1017 sample frames and one of 9: `fact` is believed about the last."""
    header = chunk(b"fmt ", fmt(0x11, channels=1, bits=4, block_align=512, extra=b"\xf9\x03"))
    counts = [] if fact is None else [chunk(b"fact", fact.to_bytes(4, "little"))]

    wav = read([riff(header, *counts, chunk(b"data", bytes(2 * 512 + 8)))])

    assert wav.sample_frames == sample_frames


@pytest.mark.parametrize("fact", [[], [chunk(b"fact", bytes(4))]])
def test_a_single_short_block_is_a_sound(fact: list[bytes]) -> None:
    header = chunk(b"fmt ", fmt(0x11, channels=1, bits=4, block_align=512, extra=b"\xf9\x03"))

    wav = read([riff(header, *fact, chunk(b"data", bytes(8)))])

    assert wav.sample_frames == 9


@pytest.mark.parametrize(("tag", "codec"), [(0x50, Codec.MP2), (0x55, Codec.MP3)])
def test_mpeg_audio_has_no_known_length(tag: int, codec: Codec) -> None:
    body = fmt(tag, bits=0, block_align=1, extra=bytes(12))

    wav = read([riff(chunk(b"fmt ", body), chunk(b"data", bytes(999)))])

    assert (wav.codec, wav.sample_frames, wav.duration_seconds) == (codec, None, None)


@pytest.mark.parametrize("size", sorted(TO_THE_END))
@pytest.mark.parametrize("kind", [b"RIFF", b"RF64", b"BW64"])
def test_a_streamed_size_means_to_the_end(kind: bytes, size: int) -> None:
    wav = read([riff(FMT, chunk(b"data", SILENCE, size=size), kind=kind)])

    assert wav.data_size_bytes == len(SILENCE)


def test_a_64_bit_size_is_read_from_ds64() -> None:
    sizes = bytes(8) + len(SILENCE).to_bytes(8, "little") + bytes(12)
    data = chunk(b"data", SILENCE, size=0xFFFFFFFF)

    wav = read([riff(chunk(b"ds64", sizes), FMT, data, chunk(b"LIST", b"later"), kind=b"RF64")])

    assert wav.data_size_bytes == len(SILENCE)


def test_a_64_bit_size_beyond_the_end_is_a_truncation() -> None:
    sizes = bytes(8) + (1 << 40).to_bytes(8, "little") + bytes(12)
    data = chunk(b"data", SILENCE, size=0xFFFFFFFF)

    with pytest.raises(InvalidWav, match="cut short"):
        read([riff(chunk(b"ds64", sizes), FMT, data, kind=b"BW64")])


def test_tags_are_read_before_the_samples_and_behind() -> None:
    data = chunk(b"data", SILENCE)

    wav = read(
        [riff(info(INAM=b"Lullaby"), FMT, data, bext(description=b"Take 2"), info(IART=b"A"))]
    )

    assert wav.tags == Tags(title="Lullaby", artist="A", comment="Take 2")


def test_info_goes_before_bext_and_the_first_list_before_the_second() -> None:
    first, second = info(INAM=b"First", ICMT=b"Info"), info(INAM=b"Second")

    wav = read([riff(bext(description=b"Bext"), FMT, first, second, chunk(b"data", SILENCE))])

    assert wav.tags == Tags(title="First", comment="Info")


def test_tags_that_the_end_cuts_off_are_left_out() -> None:
    whole = riff(FMT, chunk(b"data", SILENCE), info(INAM=b"Lullaby", IART=b"Alice"))

    assert read([whole[:-4]]).tags == Tags(title="Lullaby")


def test_only_the_beginning_of_a_long_list_is_read() -> None:
    entries = [b"INFO", chunk(b"INAM", b"Lullaby"), chunk(b"JUNK", bytes(LIST_BYTES))]
    body = b"".join([*entries, chunk(b"IART", b"Alice")])

    wav = read([riff(FMT, chunk(b"LIST", body), chunk(b"data", SILENCE))])

    assert wav.tags == Tags(title="Lullaby")


def test_a_thousand_lists_cost_neither_time_nor_memory() -> None:
    lists = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"x") * 200) * 1_000
    reader = Reader()
    reader.feed(riff(FMT, chunk(b"data", SILENCE), info(IART=b"Alice")))
    tracemalloc.start()
    started = time.process_time()

    reader.feed(lists)

    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.process_time() - started < 2
    assert peak_bytes < 100_000
    assert reader.close().tags == Tags(title="x", artist="Alice")


def test_half_a_sample_frame_at_the_end_is_dropped() -> None:
    wav = read([riff(FMT, chunk(b"data", SILENCE + b"\1\2", size=0))])

    assert (wav.data_size_bytes, wav.sample_frames) == (400, 100)


@pytest.mark.parametrize("claimed", [0, 4, 0xFFFFFFFF])
def test_the_outer_size_is_not_trusted(claimed: int) -> None:
    assert read([riff(FMT, chunk(b"data", SILENCE), size=claimed)]).sample_frames == 100


@pytest.mark.parametrize(
    "trailing", [b"", b"\0", b"LIST", b"LIST\xff\xff\xff\xffshort", bytes(1000), b"\xff" * 999]
)
def test_anything_may_follow_the_samples(trailing: bytes) -> None:
    assert read([riff(FMT, chunk(b"data", SILENCE)) + trailing]).sample_frames == 100


def test_a_missing_pad_byte_at_the_end_is_fine() -> None:
    mono_8_bit = chunk(b"fmt ", fmt(channels=1, bits=8))

    assert read([riff(mono_8_bit, chunk(b"data", b"\x80" * 3))[:-1]]).sample_frames == 3


@pytest.mark.parametrize(
    "upload",
    [
        b"",
        b"RIFF",
        b"RIFX\0\0\0\0WAVE",
        b"ID3\4" + bytes(99),
        b"\0" + make_wav(),
        b"RIFF\0\0\0\0AVI ",
    ],
)
def test_another_file_is_no_wav(upload: bytes) -> None:
    with pytest.raises(NotAWav):
        read([upload])


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (fmt(0x0161), "0x0161 (Windows Media Audio 2)"),
        (fmt(0x7777), "0x7777 (unknown to this service)"),
        (fmt(0x65), "0x0065 (G.722 ADPCM)"),
        (fmt(PCM, bits=33), "0x0001 (pcm of 33 bits)"),
        (fmt(PCM, bits=63), "0x0001 (pcm of 63 bits)"),
        (fmt(0x11, bits=3), "0x0011 (ima_adpcm of 3 bits)"),
        (fmt(0x45, bits=5), "0x0045 (g726 of 5 bits)"),
        (fmt(0x11, channels=3, bits=4, block_align=768), "3 channels of ima_adpcm"),
        (fmt(0x55, channels=6, bits=0), "6 channels of mp3"),
        (fmt(0x31, channels=2, bits=0, block_align=65), "2 channels of gsm610"),
        (fmt(FLOAT, bits=16), "0x0003 (float of 16 bits)"),
        (fmt(EXTENSIBLE, extra=extension(0x0161)), "0x0161 (Windows Media Audio 2)"),
        (fmt(EXTENSIBLE, extra=b"\1" * 22), "GUID 01010101-0101"),
    ],
)
def test_what_cannot_be_decoded_is_named(body: bytes, named: str) -> None:
    with pytest.raises(UnsupportedWavCodec) as refusal:
        Reader().feed(riff(chunk(b"fmt ", body)))

    assert named in refusal.value.detail


@pytest.mark.parametrize(
    "body",
    [
        fmt(channels=0, block_align=4),
        fmt(channels=33),
        fmt(sample_rate_hz=3_999),
        fmt(sample_rate_hz=768_001),
        fmt(block_align=0),
        fmt(block_align=3),
        fmt(bits=0, block_align=4),
        fmt(bits=16, block_align=8),
        fmt(ALAW, bits=8, block_align=4),
        fmt(0x11, bits=4, block_align=1023),
        fmt(0x02, bits=4, block_align=6),
        fmt(0x31, channels=1, bits=0, block_align=64),
        fmt(0x31, channels=33, bits=0, block_align=65),
        fmt(EXTENSIBLE, extra=extension()[:21]),
        fmt(EXTENSIBLE, extra=extension(valid_bits=17)),
        fmt()[:15],
        bytes(5_000_000),
    ],
)
def test_an_impossible_header_is_refused_when_it_arrives(body: bytes) -> None:
    with pytest.raises(InvalidWav):
        Reader().feed(riff(chunk(b"fmt ", body)))


@pytest.mark.parametrize(
    ("chunks", "why"),
    [
        ([chunk(b"data", SILENCE), FMT], "no `fmt ` chunk before"),
        ([FMT, FMT, chunk(b"data", SILENCE)], "two `fmt ` chunks"),
        ([FMT, chunk(b"data", SILENCE), chunk(b"data", SILENCE)], "two `data` chunks"),
        ([FMT], "no `data` chunk"),
        ([], "no `data` chunk"),
        ([FMT, chunk(b"data", b"")], "no samples"),
        ([FMT, chunk(b"data", b"\1\2")], "no samples"),
        ([FMT, chunk(b"data", SILENCE, size=401)], "announces 401 bytes"),
        ([FMT, chunk(b"LIST", b"", size=9)], "`LIST` chunk announces 9 bytes"),
        ([chunk(b"\0\r\n\xff", b"", size=9)], r"`\\x00\\r\\n\\xff` chunk announces 9 bytes"),
        ([chunk(b"fmt ", fmt(), size=18)], "`fmt ` chunk announces 18 bytes"),
    ],
)
def test_a_broken_file_is_refused(chunks: list[bytes], why: str) -> None:
    with pytest.raises(InvalidWav, match=why):
        read([riff(*chunks)])


def test_a_long_recording_is_refused_by_its_header() -> None:
    with pytest.raises(UploadTooLarge, match="longer than 10 seconds"):
        Reader(max_duration_seconds=10).feed(riff(FMT, chunk(b"data", b"", size=44_101 * 40)))


def test_a_long_stream_is_refused_once_it_is_too_long() -> None:
    reader = Reader(max_duration_seconds=10)
    reader.feed(riff(FMT, chunk(b"data", bytes(441_000 * 4), size=0)))

    with pytest.raises(UploadTooLarge):
        reader.feed(bytes(4))


def test_a_recording_of_just_the_limit_is_taken() -> None:
    assert read([make_wav(seconds=2)], max_duration_seconds=2).duration_seconds == 2


def test_two_gigabytes_are_counted_at_memory_speed() -> None:
    mebibyte = bytes(1 << 20)
    reader = Reader()
    reader.feed(riff(FMT, chunk(b"data", b"", size=0)))
    started = time.process_time()

    for _ in range(2048):
        reader.feed(mebibyte)

    assert time.process_time() - started < 0.2
    assert reader.close().data_size_bytes == 2 << 30


class CountingReader(Reader):
    """Counts the steps of its walk, each of which is a bounded piece of work."""

    steps = 0

    def _resume(self) -> None:
        self.steps += 1
        super()._resume()


@pytest.mark.parametrize("start", [b"", FMT + chunk(b"data", SILENCE)])
def test_a_million_chunks_cost_neither_time_nor_memory(start: bytes) -> None:
    reader = CountingReader()
    reader.feed(riff(start))
    chunks = b"tiny\0\0\0\0" * 1_000_000
    tracemalloc.start()

    try:
        reader.feed(chunks)
    except InvalidWav as refusal:
        assert "more than 10000 chunks" in refusal.detail  # noqa: PT017
    finally:
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert reader.steps < 10_010
    assert peak_bytes < 100_000


def test_five_megabytes_of_fmt_are_refused_before_they_come() -> None:
    start = riff(chunk(b"fmt ", b"", size=5_000_000))

    with pytest.raises(InvalidWav, match="5000000 bytes and must have 16 to 65553"):
        Reader().feed(start)


def test_chunks_of_any_size_are_skipped_at_once() -> None:
    reader = CountingReader()
    reader.feed(riff(FMT, chunk(b"JUNK", b"", size=4_000_000_000)))
    before = reader.steps

    for _ in range(4_000):
        reader.feed(bytes(1_000_000))

    assert reader.steps - before == 1


FORMATS = [
    fmt(PCM, bits=24),
    fmt(FLOAT, channels=1, bits=32),
    fmt(MULAW, channels=1, bits=8),
    fmt(EXTENSIBLE, channels=6, bits=32, extra=extension(valid_bits=24, mask=0x3F)),
    fmt(0x02, bits=4, block_align=256, extra=bytes(32)),
    fmt(0x11, channels=1, bits=4, block_align=256, extra=b"\xf9\x01"),
    fmt(0x17, channels=1, bits=4),
    fmt(0x20, bits=4, block_align=1024),
    fmt(0x31, channels=1, bits=0, block_align=65, extra=b"\x40\x01"),
    fmt(0x45, channels=1, bits=3),
    fmt(0x50, bits=0, block_align=417, extra=bytes(22)),
    fmt(0x55, bits=0, block_align=1, extra=bytes(12)),
    fmt(0x028F, channels=1, bits=4),
]
"""One of every kind that can be decoded."""

DS64 = chunk(b"ds64", bytes(8) + (2080).to_bytes(8, "little") + bytes(12))


@st.composite
def spoiled_wavs(draw: st.DrawFn) -> bytes:
    """Sound headers and samples, some bytes of which are then changed, lost or added."""
    body = draw(st.sampled_from(FORMATS))
    before = draw(st.lists(st.sampled_from([chunk(b"fact", bytes(4)), DS64]), max_size=2))
    upload = bytearray(riff(*before, chunk(b"fmt ", body), chunk(b"data", bytes(2080))))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, 160))
        width = draw(st.integers(0, 4))
        upload[place : place + width] = draw(st.binary(max_size=4))
    return bytes(upload[: draw(st.one_of(st.just(len(upload)), st.integers(0, len(upload))))])


names = st.sampled_from([b"fmt ", b"data", b"fact", b"ds64", b"LIST", b"bext", b"junk"])
bodies = st.one_of(
    st.binary(max_size=64),
    st.builds(lambda text: info(INAM=text, ICMT=text)[8:], st.binary(max_size=9)),
    st.builds(lambda text: bext(description=text, date=text)[8:], st.binary(max_size=9)),
    st.builds(
        fmt,
        st.sampled_from([PCM, FLOAT, ALAW, 0x02, 0x11, 0x31, 0x55, EXTENSIBLE]),
        channels=st.integers(0, 33),
        bits=st.sampled_from([0, 4, 8, 16, 24, 32]),
        block_align=st.sampled_from([None, 0, 1, 65, 1024]),
        extra=st.one_of(st.none(), st.just(extension()), st.binary(max_size=40)),
    ),
)
sizes = st.one_of(st.none(), st.sampled_from(sorted(TO_THE_END)), st.integers(0, 2**32 - 1))
kinds = st.sampled_from([b"RIFF", b"RF64", b"BW64"])
nearly_wavs = st.builds(
    lambda kind, chunks, garbage: riff(*chunks, kind=kind) + garbage,
    kinds,
    st.lists(st.builds(lambda n, b, s: chunk(n, b, size=s), names, bodies, sizes), max_size=5),
    st.binary(max_size=20),
)
wavs = st.builds(
    lambda before, after, size: riff(
        *(chunk(b"junk", body) for body in before),
        FMT,
        chunk(b"data", SILENCE, size=size),
        *(info(INAM=body) for body in after),
    ),
    st.lists(st.binary(max_size=9), max_size=3),
    st.lists(st.binary(max_size=9), max_size=3),
    st.sampled_from([None, 0]),
)


def outcome(blocks: list[bytes]) -> Wav | str:
    """What is found, or why nothing is."""
    try:
        return read(blocks)
    except (NotAWav, UnsupportedWavCodec, InvalidWav, UploadTooLarge) as refusal:
        return refusal.detail


@given(st.one_of(wavs, nearly_wavs, spoiled_wavs(), st.binary(max_size=200)), st.data())
def test_blocks_may_be_cut_anywhere(upload: bytes, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(upload)), max_size=8))
    places = [0, *sorted(cuts), len(upload)]

    pieces = [upload[start:end] for start, end in pairwise(places)]

    assert outcome(pieces) == outcome([upload])
    assert outcome([bytes([byte]) for byte in upload]) == outcome([upload])


@given(spoiled_wavs())
def test_what_is_found_in_a_spoiled_file_can_be_true(upload: bytes) -> None:
    """Or else it is refused by one of the documented errors, which `outcome` lets pass."""
    found = outcome([upload])

    if isinstance(found, Wav):
        assert 1 <= found.channels <= 32
        assert 4_000 <= found.sample_rate_hz <= 768_000
        assert 0 < found.data_size_bytes <= len(upload) - found.data_offset
        assert found.sample_frames is None or found.sample_frames > 0
        assert Wav.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize("body", FORMATS)
def test_every_format_is_taken(body: bytes) -> None:
    assert read([riff(chunk(b"fmt ", body), chunk(b"data", bytes(2080)))]).data_size_bytes > 2048


@given(wavs)
def test_chunks_around_the_samples_change_nothing_but_their_place(upload: bytes) -> None:
    wav = read([upload])

    start = wav.data_offset
    assert upload[start - 8 : start - 4] == b"data"
    assert wav.data_size_bytes >= len(SILENCE)
    assert wav.sample_frames == wav.data_size_bytes // 4


@given(wavs, st.integers(1, 400))
def test_a_cut_upload_is_never_taken_for_a_shorter_one(upload: bytes, missing: int) -> None:
    end = read([upload]).data_offset + len(SILENCE)
    streamed = upload[end - len(SILENCE) - 4 :][:4] == bytes(4)

    found = outcome([upload[: end - missing]])

    assert isinstance(found, Wav) if streamed and missing <= 396 else isinstance(found, str)
