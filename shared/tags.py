"""What a WAV says about itself: the texts of its LIST/INFO and bext chunks.

::

    info = tags.read_list(body)             # texts as they stand in the file, by what they say
    bext = tags.read_bext(body)
    found = tags.decoded(info, bext)        # as Unicode; the first that has a text wins

Nothing here refuses a file: a broken tag is no tag. However hostile a chunk is, the first
`_MOST_ENTRIES` of its entries are looked at, and `_MOST_CHARACTERS` of each text are kept.

Sources: "Multimedia Programming Interface and Data Specifications 1.0" (1991), chapter 2, for INFO,
with the ids that programs added to it; EBU Tech 3285 for bext.
"""

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import chain, islice

LIST_BYTES = 1 << 16
"""How much of a LIST chunk is worth reading."""

_BEXT = struct.Struct("256s 32s 32x 10s 8s")
BEXT_BYTES = _BEXT.size
"""How much of a bext chunk is: the rest is a time code, loudness and the coding history."""

Raw = dict[str, bytes]
"""Texts of one chunk as they stand in the file, by their fields' names in `Tags`."""

_MOST_ENTRIES = 100
_MOST_CHARACTERS = 1_000  # They travel in the payload of every segment's job.
_MOST_BYTES = 4 * _MOST_CHARACTERS

_FIELDS = {
    b"INAM": "title",
    b"IART": "artist",
    b"IPRD": "album",
    b"ICRD": "date",
    b"IGNR": "genre",
    b"ICMT": "comment",
    b"ITRK": "track",
    b"IPRT": "track",
    b"TRCK": "track",
    b"ICOP": "copyright",
    b"ISBJ": "subject",
    b"IKEY": "keywords",
    b"ILNG": "language",
    b"ISFT": "software",
    b"ITCH": "encoded_by",
    b"IENG": "encoded_by",
}
"""A track has three names: IPRT ("part") is what ffmpeg writes."""

_SHORTEST_CUT_BYTES = 32  # Of bext's fields: 32 and 256 bytes.

# Letters with accents in Windows-1252; in Windows-1251 Cyrillic ones, and with ё all of Russian.
_LETTERS = rb"[\xc0-\xff\xa8\xb8]"
_AMONG_THEIR_LIKE = re.compile(rb"(?=%b{2})" % _LETTERS)
_BESIDE_ASCII = re.compile(rb"(?=%b[A-Za-z]|[A-Za-z]%b)" % (_LETTERS, _LETTERS))

_BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ufeff]+")

_MOMENT = re.compile(
    r"([0-9]{4})(?:[-_:. /]([0-9]{2})(?:[-_:. /]([0-9]{2})"
    r"(?:[T ]([0-9]{2})[-_:. ]([0-9]{2})(?:[-_:. ]([0-9]{2}))?)?)?)?(?![0-9])"
)
_SEPARATORS = ("", "-", "-", "T", ":", ":")
_FIRST_MOMENT = "0001-01-01T00:00:00"


@dataclass(frozen=True)
class Tags:
    """What a recording says about itself; an empty text is one it does not have."""

    title: str = ""
    artist: str = ""
    album: str = ""
    date: str = ""
    """ISO 8601, from a year alone (2024) to the second (2024-05-01T10:20:30)."""
    genre: str = ""
    comment: str = ""
    """The only one that may have several lines."""
    track: str = ""
    """A number, perhaps with how many there are: 3 or 3/12."""
    copyright: str = ""
    subject: str = ""
    keywords: str = ""
    language: str = ""
    """An ISO 639-2 code: rus."""
    software: str = ""
    """That made the WAV."""
    encoded_by: str = ""

    def filled(self, others: "Tags") -> "Tags":
        """These, and of the others what is not among them."""
        return Tags(**others.to_json() | self.to_json())

    def to_json(self) -> dict[str, str]:
        return {name: text for name, text in asdict(self).items() if text}

    @classmethod
    def from_json(cls, stored: Mapping[str, str]) -> "Tags":
        """The Tags that `to_json` described."""
        return cls(**stored)


def read_list(body: bytes) -> Raw:
    """The texts of a LIST chunk, given its first `LIST_BYTES`: the first one of each kind.

    Lists of other types than INFO have none.
    """
    found: Raw = {}
    if body.startswith(b"INFO"):
        for name, text in islice(_entries(body), _MOST_ENTRIES):
            if name in _FIELDS and text:
                found.setdefault(_FIELDS[name], text[:_MOST_BYTES])
    return found


def _entries(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Ids and texts, up to the first that goes beyond the chunk's end."""
    start = 4
    while start + 8 <= len(body):
        name, size = struct.unpack_from("<4sI", body, start)
        end = start + 8 + size
        if end > len(body):
            return
        yield name, _text(body[start + 8 : end])
        # Some programs leave out the pad byte behind an odd size: then the next id is there.
        is_padded = size % 2 == 1 and not body[end : end + 4].isalnum()
        start = end + is_padded


def read_bext(body: bytes) -> Raw:
    """The texts of a bext chunk, given at least its first `BEXT_BYTES`."""
    if len(body) < BEXT_BYTES:
        return {}
    description, originator, date, time = map(_text, _BEXT.unpack_from(body))
    found = {
        "comment": description,
        "encoded_by": originator,
        "date": date + b"T" + time if date else b"",
    }
    return {field: text for field, text in found.items() if text}


def _text(padded: bytes) -> bytes:
    return padded.partition(b"\0")[0].strip()


def decoded(*chunks: Raw) -> Tags:
    """The tags of all chunks of a file. Where several have a text, it is the first one's."""
    encoding = _encoding(chain.from_iterable(raw.values() for raw in chunks))
    found = Tags()
    for raw in chunks:
        found = found.filled(_decoded(raw, encoding))
    return found


def _decoded(raw: Raw, encoding: str) -> Tags:
    texts = {}
    for field, text in raw.items():
        unicode = _utf8(text)
        clean = _CLEANERS.get(field, _line)
        texts[field] = clean(text.decode(encoding, "ignore") if unicode is None else unicode)
    return Tags(**texts)


def _utf8(text: bytes) -> str | None:
    """None if it is no UTF-8. A long one may have been cut inside its last character.

    A short one that seems to be cut is in another encoding, as "Лёд" is in Windows-1251.
    """
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        whole = text[: error.start]
        is_cut = error.reason == "unexpected end of data" and len(text) >= _SHORTEST_CUT_BYTES
        return whole.decode() if is_cut and not whole.isascii() else None


def _encoding(texts: Iterable[bytes]) -> str:
    """What those of a file's texts are written in that are no UTF-8.

    They are judged together, for one program wrote them, and most are too short to tell. Cyrillic
    letters stand side by side; in French or German an accented letter stands among plain ones,
    which are ASCII. So pairs of neighbours are counted. A tie, such as no pair at all, goes to
    Windows-1252, which has all that Latin-1 has.
    """
    text = b"\n".join(text for text in texts if _utf8(text) is None)
    cyrillic = len(_AMONG_THEIR_LIKE.findall(text))
    latin = len(_BESIDE_ASCII.findall(text))
    return "windows-1251" if cyrillic > latin else "windows-1252"


def _line(text: str) -> str:
    """Without control characters and line ends, and not too long."""
    return _BLANKS.sub(" ", text).strip()[:_MOST_CHARACTERS].rstrip()


def _lines(text: str) -> str:
    return "\n".join(map(_line, text.splitlines())).strip()[:_MOST_CHARACTERS].rstrip()


def _moment(text: str) -> str:
    """As much of a date in the order of ISO 8601 as can be true.

    EBU Tech 3285 allows several separators. A date of another order is none: nobody can tell what
    05/06/2024 is.
    """
    match = _MOMENT.match(_line(text))
    if match is None:
        return ""
    numbers = zip(_SEPARATORS, match.groups(), strict=True)
    iso = "".join(separator + number for separator, number in numbers if number)
    for length in range(len(iso), len("2024") - 1, -len("-05")):
        with suppress(ValueError):
            datetime.fromisoformat(iso[:length] + _FIRST_MOMENT[length:])
            return iso[:length]
    return ""


def _only(pattern: str) -> Callable[[str], str]:
    """Takes texts of that form and no other."""

    def clean(text: str) -> str:
        line = _line(text)
        return line if re.fullmatch(pattern, line) else ""

    return clean


_CLEANERS: dict[str, Callable[[str], str]] = {
    "comment": _lines,
    "date": _moment,
    "track": _only("[0-9]{1,9}(/[0-9]{1,9})?"),
    "language": _only("[a-z]{3}"),
}
