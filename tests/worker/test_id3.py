from dataclasses import fields, replace
from functools import cache
from io import BytesIO

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.tags import Tags
from tests import audio
from worker import encode, id3

EVERYTHING = Tags(
    title="Привет, мир",
    artist="Müller",
    album="A/B",
    date="2024-05-01T10:20:30",
    genre="Folk",
    comment="one = 1;\n\n#two\\",
    track="3/12",
    copyright="2024 Alice",
    subject="Sleep",
    keywords="night; sleep",
    language="rus",
    software="Recorder 1.0",
    encoded_by="Bob",
)


@cache
def sound() -> bytes:
    """An MP3 without a tag."""
    sink = BytesIO()
    encode.to_mp3(
        [audio.music(0.2, channels=1)], sink, sample_rate_hz=44_100, channels=1, quality=5
    )
    return sink.getvalue()


def test_a_title_is_a_frame_behind_a_header() -> None:
    frame = b"TIT2" + b"\0\0\0\x03" + b"\0\0" + b"\x03" + "я".encode()

    assert id3.tag(Tags(title="я")) == b"ID3\x04\0\0" + b"\0\0\0\x0d" + frame


def test_sizes_have_seven_bits_a_byte() -> None:
    tag = id3.tag(Tags(title="x" * 299))

    assert tag[6:10] == bytes([0, 0, 2, 54])  # 10 + 300 = 2 · 128 + 54
    assert tag[14:18] == bytes([0, 0, 2, 44])


def test_nothing_to_say_is_no_tag() -> None:
    assert id3.tag(Tags()) == b""


def test_a_player_reads_all_of_it() -> None:
    heard = audio.metadata(id3.tag(EVERYTHING) + sound())

    others = {"TIT3": "subject", "Keywords": "keywords", "Software": "software"}
    assert {others.get(name, name): text for name, text in heard.items()} == EVERYTHING.to_json()


def test_the_sound_behind_it_is_the_same() -> None:
    tagged = audio.decoded(id3.tag(EVERYTHING) + sound(), channels=1)

    assert len(tagged) == 0.2 * 44_100
    assert (tagged == audio.decoded(sound(), channels=1)).all()


def test_the_longest_texts_fit() -> None:
    longest = Tags(**{field.name: "🎵" * 1_000 for field in fields(Tags)})

    tag = id3.tag(replace(longest, language="rus", date="2024", track="1"))

    assert len(tag) < 42_000
    assert audio.metadata(tag + sound())["encoded_by"] == longest.encoded_by


texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=200)


@given(st.builds(Tags, title=texts, artist=texts, comment=texts, software=texts))
def test_no_byte_of_it_can_begin_a_frame(tags: Tags) -> None:
    assert b"\xff" not in id3.tag(tags)


words = st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=200)


@settings(deadline=None, max_examples=10)
@given(st.builds(Tags, title=words, artist=words, comment=words, copyright=words))
def test_any_words_come_through(tags: Tags) -> None:
    assert audio.metadata(id3.tag(tags) + sound()) == tags.to_json()
