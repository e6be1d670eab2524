"""A strict reader of WAV headers, fed with a file's bytes as they arrive.

::

    reader = wav.Reader(max_duration_seconds=86_400)
    for block in upload:
        reader.feed(block)      # raises as soon as something is known to be wrong
    found = reader.close()      # where the samples are, and what they are

Reads RIFF ("Multimedia Programming Interface and Data Specifications 1.0", 1991), RF64 (EBU Tech
3306) and BW64 (ITU-R BS.2088) with the formats of mmreg.h. Samples are only counted, headers are
bounded, so neither a long file nor a hostile one costs memory, and nobody needs to read it twice.

Nothing is guessed. The outer RIFF size is ignored: programs that stream leave it wrong.
"""

import math
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

from shared import fmt, tags
from shared.errors import InvalidWav, NotAWav, UploadTooLarge
from shared.fmt import SAMPLE_BY_SAMPLE, Codec, Format
from shared.tags import Tags

__all__ = ["SAMPLE_BY_SAMPLE", "TO_THE_END", "Codec", "Format", "Reader", "Wav"]

TO_THE_END = frozenset({0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF})
"""Data sizes written by programs that could not know them, for want of a seekable file."""

_TO_THE_END_64 = frozenset({0, (1 << 63) - 1, (1 << 64) - 1})
_SIZE_IS_IN_DS64 = 0xFFFFFFFF
_CHUNK_HEADER_BYTES = 8
_ENDLESS_BYTES = 1 << 64
_MAX_CHUNKS = 10_000  # No program writes a hundredth of that; a walk over millions takes minutes.


@dataclass(frozen=True)
class Wav(Format):
    """Where a WAV's samples are, and what they are."""

    data_offset: int
    data_size_bytes: int
    """Without what is too short, at the end, to be a sample frame."""
    sample_frames: int | None
    """Samples per channel; None where only decoding can tell (MPEG)."""
    tags: Tags = field(default_factory=Tags)

    @property
    def duration_seconds(self) -> float | None:
        return None if self.sample_frames is None else self.sample_frames / self.sample_rate_hz

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"fmt_extra": self.fmt_extra.hex(), "tags": self.tags.to_json()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Wav":
        """The Wav that `to_json` described."""
        decoded = {
            "codec": Codec(stored["codec"]),
            "fmt_extra": bytes.fromhex(stored["fmt_extra"]),
            "tags": Tags.from_json(stored["tags"]),
        }
        return cls(**{**stored, **decoded})


@dataclass
class _Want:
    """What the walk asks for: so many bytes, handed over together or only counted."""

    size: int
    keep: bool


@dataclass
class _Data:
    offset: int
    size_bytes: int


class Reader:
    """Takes a file's bytes in blocks of any size and finds out what and where its samples are.

    The walk over the chunks reads as if it pulled: it is a generator that asks for bytes (`_Want`)
    and is resumed once they have arrived. Fewer than it asked for mean the end of the file.
    """

    def __init__(self, *, max_duration_seconds: float = math.inf) -> None:
        self._max_duration_seconds = max_duration_seconds
        self._format: Format | None = None
        self._data: _Data | None = None
        self._data_size_64 = 0
        self._fact_sample_frames = 0
        self._info: tags.Raw = {}
        self._bext: tags.Raw = {}

        self._position = 0
        self._kept = bytearray()
        self._walk = self._read()
        self._want = next(self._walk)
        self._missing = self._want.size

    def feed(self, block: bytes | bytearray | memoryview) -> None:
        """Take the file's next bytes. A reader that has raised takes no more.

        Raises:
            NotAWav: it is another kind of file.
            UnsupportedWavCodec: a WAV, of a codec that cannot be decoded.
            InvalidWav: a broken WAV.
            UploadTooLarge: it lasts longer than `max_duration_seconds`.
        """
        rest = memoryview(block)
        while rest:
            taken = rest[: self._missing]
            if self._want.keep:
                self._kept += taken
            rest = rest[len(taken) :]
            self._advance(len(taken))

    def feed_file(self, file: BinaryIO, size_bytes: int) -> None:
        """Take a file's first bytes; those that would only be counted are not even read.

        Raises: as `feed`.
        """
        while missing := min(self._missing, size_bytes - self._position):
            if self._want.keep:
                file.seek(self._position)
                self.feed(file.read(missing))
            else:
                self._advance(missing)

    def close(self) -> Wav:
        """What was found, now that all bytes have been fed.

        Raises:
            NotAWav, InvalidWav: what only the end could tell, such as a truncation.
        """
        try:
            while True:
                self._resume()
        except StopIteration as walked:
            found: Wav = walked.value
            return found

    def _advance(self, size: int) -> None:
        self._missing -= size
        self._position += size
        if not self._missing:
            self._resume()

    def _resume(self) -> None:
        arrived = bytes(self._kept)
        self._kept.clear()
        self._want = self._walk.send(arrived)
        self._missing = self._want.size

    def _take(self, size: int) -> Generator[_Want, bytes, bytes]:
        return (yield _Want(size, keep=True)) if size else b""

    def _skip(self, size: int) -> Generator[_Want, bytes, int]:
        """How many of the next `size` bytes there were."""
        start = self._position
        if size:
            yield _Want(size, keep=False)
        return self._position - start

    def _read(self) -> Generator[_Want, bytes, Wav]:
        _check_signature((yield from self._take(12)))
        for _ in range(_MAX_CHUNKS):
            header = yield from self._take(_CHUNK_HEADER_BYTES)
            if len(header) < _CHUNK_HEADER_BYTES:
                return self._found()
            size = int.from_bytes(header[4:], "little")
            yield from self._read_chunk(header[:4], size)
            yield from self._skip(size & 1)
        if self._data is None:
            raise InvalidWav(f"The WAV has more than {_MAX_CHUNKS} chunks; export it again.")
        yield from self._skip(_ENDLESS_BYTES)
        return self._found()

    def _read_chunk(self, name: bytes, size: int) -> Generator[_Want, bytes, None]:
        """Chunks that say nothing about the sound are skipped."""
        match name:
            case b"fmt ":
                yield from self._read_fmt(size)
            case b"data":
                yield from self._read_data(size)
            case b"ds64":
                sizes = yield from self._read_body(name, size, keep=16)
                self._data_size_64 = int.from_bytes(sizes[8:16], "little")
            case b"fact":
                counts = yield from self._read_body(name, size, keep=4)
                self._fact_sample_frames = int.from_bytes(counts, "little")
            case b"LIST":
                entries = yield from self._read_body(name, size, keep=tags.LIST_BYTES)
                self._info = tags.read_list(entries) | self._info
            case b"bext":
                fields = yield from self._read_body(name, size, keep=tags.BEXT_BYTES)
                self._bext = self._bext or tags.read_bext(fields)
            case _:
                yield from self._read_body(name, size, keep=0)

    def _read_body(self, name: bytes, size: int, *, keep: int) -> Generator[_Want, bytes, bytes]:
        """The first `keep` bytes of a chunk's `size`; the rest is skipped.

        Behind the data anything goes: many programs leave half a chunk or other garbage there.
        """
        body = yield from self._take(min(size, keep))
        arrived = len(body) + (yield from self._skip(size - len(body)))
        if arrived < size and self._data is None:
            raise _truncated(name, size, arrived)
        return body

    def _read_fmt(self, size: int) -> Generator[_Want, bytes, None]:
        if self._format is not None:
            raise InvalidWav("The WAV has two `fmt ` chunks; export it again.")
        if not fmt.MIN_BYTES <= size <= fmt.MAX_BYTES:
            raise InvalidWav(
                f"The WAV's `fmt ` chunk has {size} bytes and must have "
                f"{fmt.MIN_BYTES} to {fmt.MAX_BYTES}; export it again."
            )
        self._format = fmt.parse((yield from self._read_body(b"fmt ", size, keep=size)))

    def _read_data(self, size: int) -> Generator[_Want, bytes, None]:
        if self._format is None:
            raise InvalidWav("The WAV has no `fmt ` chunk before its samples; export it again.")
        if self._data is not None:
            raise InvalidWav("The WAV has two `data` chunks; export it again.")
        offset = self._position
        if (declared := self._declared_bytes(size)) is None:
            arrived = yield from self._skip(self._too_many_bytes(self._format))
            self._check_duration(self._format, arrived)
        else:
            self._check_duration(self._format, declared)
            arrived = yield from self._skip(declared)
            if arrived < declared:
                raise _truncated(b"data", declared, arrived)
        self._data = _Data(offset, arrived)

    def _declared_bytes(self, size: int) -> int | None:
        """The size of the data chunk; None if it goes to the end of the file."""
        if size == _SIZE_IS_IN_DS64 and self._data_size_64 not in _TO_THE_END_64:
            return self._data_size_64
        return None if size in TO_THE_END else size

    def _too_many_bytes(self, form: Format) -> int:
        """A size that surely lasts too long."""
        if form.block_sample_frames is None or math.isinf(self._max_duration_seconds):
            return _ENDLESS_BYTES
        sample_frames = int(self._max_duration_seconds * form.sample_rate_hz)
        return (sample_frames // form.block_sample_frames + 1) * form.block_align_bytes

    def _check_duration(self, form: Format, size_bytes: int) -> None:
        seconds = (form.sample_frames_in(size_bytes) or 0) / form.sample_rate_hz
        if seconds > self._max_duration_seconds:
            raise UploadTooLarge(
                f"The WAV lasts longer than {self._max_duration_seconds:g} seconds, "
                "which is all that is taken; send it in parts."
            )

    def _found(self) -> Wav:
        if self._format is None or self._data is None:
            raise InvalidWav("The WAV has no `data` chunk, so no sound; export it again.")
        size_bytes = self._format.usable_bytes(self._data.size_bytes)
        if not size_bytes:
            raise InvalidWav("The WAV has no samples; record it again.")
        sample_frames = self._format.sample_frames_in(size_bytes)
        return Wav(
            **vars(self._format),
            data_offset=self._data.offset,
            data_size_bytes=size_bytes,
            sample_frames=self._without_padding(self._format, sample_frames),
            tags=tags.decoded(self._info, self._bext),
        )

    def _without_padding(self, form: Format, sample_frames: int | None) -> int | None:
        """The `fact` chunk's count, as far as it can be true: a part of the last block is unused.

        Programs that stream leave 0 there, or whatever they thought of before they began.
        """
        if sample_frames is None or form.block_sample_frames is None:
            return None
        least = max(sample_frames - form.block_sample_frames, 0)
        counted = self._fact_sample_frames
        return counted if least < counted <= sample_frames else sample_frames


def _truncated(name: bytes, size: int, arrived: int) -> InvalidWav:
    shown = name.decode("latin-1").encode("unicode_escape").decode()
    return InvalidWav(
        f"The WAV's `{shown}` chunk announces {size} bytes and the file ends "
        f"after {arrived} of them: the upload was cut short, or the file is broken. "
        "Send it whole or export it again."
    )


def _check_signature(header: bytes) -> None:
    if header[:4] in (b"RIFF", b"RF64", b"BW64") and header[8:] == b"WAVE":
        return
    if header[:4] == b"RIFX":
        raise NotAWav("The upload is a RIFX file, which is big-endian; save it as RIFF (WAV).")
    raise NotAWav
