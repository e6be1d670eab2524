import json
import re
import unicodedata
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import tags
from shared.tags import Tags
from tests.audio import bext, chunk, info

HEADER_BYTES = 8


def of_info(**texts: bytes) -> Tags:
    return tags.decoded(tags.read_list(info(**texts)[HEADER_BYTES:]))


def of_bext(**texts: bytes) -> Tags:
    return tags.decoded(tags.read_bext(bext(**texts)[HEADER_BYTES:]))


def of_entries(*entries: bytes) -> Tags:
    return tags.decoded(tags.read_list(b"INFO" + b"".join(entries)))


def test_every_text_of_info_has_its_field() -> None:
    found = of_info(
        INAM=b"Lullaby",
        IART=b"Alice",
        IPRD=b"Nights",
        ICRD=b"2024-05-01",
        IGNR=b"Folk",
        ICMT=b"Take 2",
        ITRK=b"3/12",
        ICOP=b"2024 Alice",
        ISBJ=b"Sleep",
        IKEY=b"night; sleep",
        ILNG=b"eng",
        ISFT=b"Recorder 1.0",
        ITCH=b"Bob",
    )

    assert found == Tags(
        title="Lullaby",
        artist="Alice",
        album="Nights",
        date="2024-05-01",
        genre="Folk",
        comment="Take 2",
        track="3/12",
        copyright="2024 Alice",
        subject="Sleep",
        keywords="night; sleep",
        language="eng",
        software="Recorder 1.0",
        encoded_by="Bob",
    )


@pytest.mark.parametrize("name", ["ITRK", "IPRT", "TRCK"])
def test_a_track_has_several_names(name: str) -> None:
    assert of_info(**{name: b"7"}) == Tags(track="7")


def test_bext_tells_who_made_it_when() -> None:
    found = of_bext(
        description=b"Scene 4", originator=b"Field", date=b"2024:05:01", time=b"10-20-30"
    )

    assert found == Tags(comment="Scene 4", encoded_by="Field", date="2024-05-01T10:20:30")


def test_a_full_field_of_bext_needs_no_end() -> None:
    assert of_bext(originator=b"x" * 32, description=b"y" * 256) == Tags(
        encoded_by="x" * 32, comment="y" * 256
    )


def test_bext_that_is_cut_short_is_none() -> None:
    body = bext(description=b"Scene 4")[HEADER_BYTES:]

    assert tags.read_bext(body[: tags.BEXT_BYTES - 1]) == {}
    assert tags.read_bext(body[: tags.BEXT_BYTES]) != {}


def test_a_date_of_bext_serves_where_info_has_none() -> None:
    info_raw, bext_raw = {"date": b"some day"}, {"date": b"2024-05-01"}

    assert tags.decoded(info_raw, bext_raw) == Tags(date="2024-05-01")


def test_other_lists_have_no_tags() -> None:
    assert tags.read_list(b"adtl" + chunk(b"INAM", b"Marker")) == {}
    assert tags.read_list(b"") == {}


def test_the_first_text_of_a_kind_counts_if_there_is_one() -> None:
    texts = [b"\0\0", b"  ", b"First", b"Second"]

    assert of_entries(*(chunk(b"INAM", text) for text in texts)) == Tags(title="First")


def test_a_missing_pad_byte_is_forgiven() -> None:
    unpadded = chunk(b"INAM", b"odd")[:-1]

    assert of_entries(unpadded, chunk(b"IART", b"Alice")) == Tags(title="odd", artist="Alice")
    assert of_entries(unpadded) == Tags(title="odd")


@pytest.mark.parametrize("size", [10, 1 << 16, (1 << 32) - 1])
def test_an_entry_beyond_the_end_is_left_out(size: int) -> None:
    beyond = chunk(b"IART", b"Alice", size=size)

    assert of_entries(chunk(b"INAM", b"Lullaby"), beyond) == Tags(title="Lullaby")


def test_only_so_many_entries_are_looked_at() -> None:
    many = chunk(b"IXXX", b"") * 5_000

    assert of_entries(chunk(b"INAM", b"Lullaby"), many, chunk(b"IART", b"Alice")) == Tags(
        title="Lullaby"
    )


@pytest.mark.parametrize("text", ["x" * 60_000, "я" * 30_000])
def test_only_so_much_of_a_text_is_kept(text: str) -> None:
    assert of_info(ICMT=text.encode()) == Tags(comment=text[:1000])


@pytest.mark.parametrize(
    ("raw", "title"),
    [
        (b"  spaced \t out  ", "spaced out"),
        (b"ended\0here", "ended"),
        (b"line\r\nline", "line line"),
        (b"bell\x07 and \x1b[31mcolour", "bell and [31mcolour"),
        ("\ufeffmarked\x85\u2028".encode(), "marked"),
    ],
)
def test_what_is_no_text_is_trimmed(raw: bytes, title: str) -> None:
    assert of_info(INAM=raw) == Tags(title=title)


def test_a_comment_keeps_its_lines() -> None:
    assert of_info(ICMT=b"\r\none \r\n\r\ntwo\rthree\n") == Tags(comment="one\n\ntwo\nthree")


@pytest.mark.parametrize(
    "text",
    [
        "Привет мир",
        "Лёд",
        "ЕЩЁ",
        "«Мы»",
        "DJ Грув — Счастье есть (Remix)",
        "mp3-файл №5",
        "Київ",
    ],
)
def test_russian_is_told_from_its_bytes(text: str) -> None:
    assert of_info(INAM=text.encode("windows-1251")) == Tags(title=text)
    assert of_bext(description=text.encode("windows-1251")) == Tags(comment=text)


@pytest.mark.parametrize(
    "text",
    [
        "Müller",
        "Café",
        "naïve",
        "GRÖßE",
        "Crème brûlée, créée l'été",
        "À la carte",
        "où",
        "Señor São João",
        "Åse Øst på øen",
        "© 2024",
        "“Cœur” … 5 €",
    ],
)
def test_western_languages_are_told_from_their_bytes(text: str) -> None:
    assert of_info(INAM=text.encode("windows-1252")) == Tags(title=text)


@pytest.mark.parametrize("text", ["Привет мир", "Müller", "日本語", "🎵", "naïve Лёд"])
def test_utf_8_is_taken_for_what_it_is(text: str) -> None:
    assert of_info(INAM=text.encode()) == Tags(title=text)


def test_the_texts_of_a_file_are_judged_together() -> None:
    """Alone the artist would be a German sharp s."""
    info_raw = tags.read_list(info(IART="Я".encode("windows-1251"))[HEADER_BYTES:])
    bext_raw = tags.read_bext(bext(description="Песня".encode("windows-1251"))[HEADER_BYTES:])

    assert tags.decoded(info_raw) == Tags(artist="ß")
    assert tags.decoded(info_raw, bext_raw) == Tags(artist="Я", comment="Песня")


def test_one_text_in_utf_8_does_not_hide_another_encoding() -> None:
    found = of_info(INAM="Ночь".encode(), IART="Алиса".encode("windows-1251"))

    assert found == Tags(title="Ночь", artist="Алиса")


def test_utf_8_may_be_cut_inside_a_character() -> None:
    cut = ("я" * 200).encode()[:255]

    assert of_bext(description=cut) == Tags(comment="я" * 127)


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2024", "2024"),
        ("2024-05", "2024-05"),
        ("2024-05-01", "2024-05-01"),
        ("2024/05/01", "2024-05-01"),
        ("2024-05-01 10:20", "2024-05-01T10:20"),
        ("2024-05-01T10:20:30.5+03:00", "2024-05-01T10:20:30"),
        ("2024-02-30", "2024-02"),
        ("2024-05-01 24:00:00", "2024-05-01"),
        ("2024-00-00", "2024"),
        ("1999-2001", "1999"),
        ("0000-00-00", ""),
        ("01.05.2024", ""),
        ("20240501", ""),
        ("yesterday", ""),
    ],
)
def test_a_date_is_as_exact_as_can_be_true(text: str, date: str) -> None:
    assert of_info(ICRD=text.encode()) == Tags(date=date)


@pytest.mark.parametrize("text", [b"A1", b"three", b"3 of 12", b"/", b"-1", b"1" * 10])
def test_what_is_no_number_is_no_track(text: bytes) -> None:
    assert of_info(ITRK=text) == Tags()


@pytest.mark.parametrize("text", [b"English", b"en", b"\xfcbe"])
def test_what_is_no_code_is_no_language(text: bytes) -> None:
    assert of_info(ILNG=text) == Tags()


def test_tags_are_filled_from_others() -> None:
    filled = Tags(title="Own").filled(Tags(title="Other", artist="Alice"))

    assert filled == Tags(title="Own", artist="Alice")


texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=99)
names = st.sampled_from([b"INAM", b"IART", b"ICMT", b"ICRD", b"ITRK", b"IXXX"])
entries = st.one_of(
    st.binary(max_size=20),
    st.builds(
        lambda name, body, size: chunk(name, body, size=size),
        names,
        st.binary(max_size=20),
        st.one_of(st.none(), st.integers(0, 60)),
    ),
)


@given(texts, texts)
def test_utf_8_comes_through_unchanged(title: str, artist: str) -> None:
    assert of_info(INAM=title.encode(), IART=artist.encode()) == Tags(title=title, artist=artist)


@given(st.lists(entries), st.binary(max_size=2 * tags.BEXT_BYTES))
def test_whatever_is_there_gives_harmless_texts(listed: list[bytes], body: bytes) -> None:
    info_raw, bext_raw = tags.read_list(b"INFO" + b"".join(listed)), tags.read_bext(body)

    found = tags.decoded(info_raw, bext_raw)

    stored = json.dumps(found.to_json())
    assert Tags.from_json(json.loads(stored)) == found
    for character in chain.from_iterable(found.to_json().values()):
        assert character == "\n" or unicodedata.category(character) not in {"Cc", "Cs"}
    assert "\n" not in found.title + found.artist
    assert re.fullmatch(r"|\d{4}(-\d\d(-\d\d(T\d\d(:\d\d(:\d\d)?)?)?)?)?", found.date)
