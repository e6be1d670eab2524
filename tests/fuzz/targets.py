"""Everything that reads bytes of strangers, each with sound examples to begin with.

A target takes any bytes. It returns, or raises what it must not.
"""

import io
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from fastapi import Request

from api import downloads, forms
from shared import errors, records, tags
from shared.tags import Tags
from shared.wav import SAMPLE_BY_SAMPLE, Reader, Wav
from tests.audio import bext, chunk, compressed, extension, fmt, info, make_wav, music, riff
from tests.jservice import make_clue
from tests.upstreams import opentdb as opentdb_server
from tests.upstreams import trivia_api as trivia_api_server
from worker import adpcm, id3, mpeg, pcm
from worker.mp3 import BrokenFrame
from worker.peaks import watched
from worker.sources import jservice, opentdb, trivia_api

BOUNDARY = b"boundary"
MOST_SECONDS = 3600
REFUSALS = (
    errors.NotAWav,
    errors.UnsupportedWavCodec,
    errors.InvalidWav,
    errors.UploadTooLarge,
)


@dataclass(frozen=True)
class Target:
    """Something that takes bytes, and examples of them."""

    run: Callable[[bytes], None]
    examples: Sequence[bytes]


def read_wav(data: bytes) -> None:
    """The header reader; and of what it takes, the samples and the tag."""
    reader = Reader(max_duration_seconds=MOST_SECONDS)
    with suppress(*REFUSALS):
        reader.feed(data[: len(data) // 3])
        reader.feed(data[len(data) // 3 :])
        wav = reader.close()
        assert Wav.from_json(json.loads(json.dumps(wav.to_json()))) == wav
        assert id3.tag(wav.tags)[:3] in {b"", b"ID3"}
        _decode(data, wav)


def _decode(data: bytes, wav: Wav) -> None:
    if wav.codec in SAMPLE_BY_SAMPLE:
        blocks = pcm.blocks(io.BytesIO(data), wav)
    elif wav.codec in adpcm.CODECS:
        blocks = adpcm.blocks(io.BytesIO(data), wav)
    else:
        return
    heard = sum(map(len, watched(blocks, io.BytesIO())))
    assert heard == wav.sample_frames


def read_form(data: bytes) -> None:
    form = forms.Form(BOUNDARY, lambda _: None)
    with suppress(errors.MalformedRequest, errors.InvalidRequest):
        form.feed(data[: len(data) // 2])
        form.feed(data[len(data) // 2 :])
        form.close()
    name = records.mp3_name(form.filename)
    assert name.endswith(".mp3")
    assert len(name.encode()) <= 255
    assert "/" not in name


def read_media_type(data: bytes) -> None:
    """The header in which a form names its boundary; and what such a form begins with."""
    request = Request({"type": "http", "headers": [(b"content-type", data)]})
    with suppress(errors.MalformedRequest):
        boundary = forms.boundary(request)
        if boundary is not None:
            forms.Form(boundary, lambda _: None).feed(b"--" + boundary + b"\r\n")


def read_range(data: bytes) -> None:
    size = len(data) * 1000
    span = downloads.parse_range(data.decode("latin-1"), size)
    assert span is None or 0 <= span.start <= size or span.start >= span.stop
    assert span is None or span.stop <= size


def read_tags(data: bytes) -> None:
    found = tags.decoded(tags.read_list(data), tags.read_bext(data))
    assert Tags.from_json(found.to_json()) == found
    assert len(id3.tag(found)) < 1 << 16


def read_mpeg(data: bytes) -> None:
    for parse in (mpeg.parse_layer_2, mpeg.parse_layer_3):
        with suppress(BrokenFrame):
            for frame, header in mpeg.frames([data[:1000], data[1000:]], parse):
                assert len(frame) == header.size_bytes


def read_item(data: bytes) -> None:
    """An item of a question source: JSON of any kind."""
    with suppress(ValueError, RecursionError):
        item = json.loads(data)
        for candidate_of in (jservice._clue, opentdb._candidate, trivia_api._candidate):
            candidate = candidate_of(item)
            if candidate is not None:
                assert candidate.question
                assert candidate.answer
                assert candidate.text_key


def _form(*, name: str = 'name="file"; filename="a.wav"') -> bytes:
    head = b'--boundary\r\nContent-Disposition: form-data; name="user"\r\n\r\n1\r\n'
    head += b"--boundary\r\nContent-Disposition: form-data; " + name.encode() + b"\r\n"
    return head + b"Content-Type: audio/wav\r\n\r\nRIFF....\r\n--boundary--\r\n"


def _wav(body: bytes, *others: bytes) -> bytes:
    return riff(chunk(b"fmt ", body), *others, chunk(b"data", bytes(range(256)) * 9))


_HEADERS = [
    fmt(channels=1, bits=8),
    fmt(bits=24),
    fmt(3, bits=32),
    fmt(3, channels=1, bits=64),
    fmt(6, channels=1, bits=8),
    fmt(7, bits=8),
    fmt(0xFFFE, channels=6, bits=32, extra=extension(valid_bits=24, mask=0x3F)),
    fmt(2, bits=4, block_align=256, extra=bytes(32)),
    fmt(0x11, channels=1, bits=4, block_align=256, extra=b"\xf9\x01"),
    fmt(0x17, channels=1, bits=4),
    fmt(0x20, bits=4, block_align=1024),
    fmt(0x31, channels=1, bits=0, block_align=65, extra=b"\x40\x01"),
    fmt(0x55, bits=0, block_align=1, extra=bytes(12)),
]
_INFO = info(INAM="Колыбельная".encode("windows-1251"), IART="Müller".encode("latin-1"))
_BEXT = bext(description=b"Take 2", date=b"2024-05-01", time=b"10:20:30")
_DS64 = chunk(b"ds64", bytes(8) + (2304).to_bytes(8, "little") + bytes(12))


def _targets() -> dict[str, Target]:
    mp3 = compressed("libmp3lame", music(0.3))
    return {
        "wav": Target(
            read_wav,
            [
                *(_wav(header) for header in _HEADERS),
                _wav(fmt(), _INFO, _BEXT, _DS64),
                make_wav(0.01),
            ],
        ),
        "form": Target(
            read_form,
            [_form(), _form(name="name=file; filename*=utf-8''%d0%9f.wav"), _form(name="name=x")],
        ),
        "media type": Target(
            read_media_type,
            [b"multipart/form-data; boundary=x", b'Multipart/Form-Data; a=";\\""; boundary="x"'],
        ),
        "range": Target(read_range, [b"bytes=0-1", b"bytes=-5", b"bytes=99999-", b"bytes=1-2,3-4"]),
        "tags": Target(read_tags, [_INFO[8:], _BEXT[8:]]),
        "mpeg": Target(read_mpeg, [mp3[mp3.index(b"data") + 8 :], b"ID3\4\0\0\0\0\0\1x" + mp3]),
        "item": Target(
            read_item,
            [
                json.dumps(item).encode()
                for item in (
                    make_clue(1),
                    opentdb_server.encoded(opentdb_server.make_question(1)),
                    trivia_api_server.make_question(1),
                )
            ],
        ),
    }


TARGETS = _targets()
