"""Forms that arrive in pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.forms import Form
from shared import errors

BOUNDARY = b"--b"
DELIMITER = b"--" + BOUNDARY

# What comes near a boundary is what a splitter may stumble over.
NEARLY = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"-", b"--", DELIMITER[:-1], b"\r\n" + DELIMITER[:-1]]
)
FILES = st.lists(NEARLY | st.binary(max_size=20), max_size=12).map(b"".join)
FIELDS = st.dictionaries(
    st.text("abcё'", min_size=1, max_size=5), st.text(max_size=20).map(str.strip), max_size=3
)


def body_of(fields: dict[str, str], file: bytes) -> bytes:
    parts = [
        (f'form-data; name="{name}"', value.encode("utf-8", "replace"))
        for name, value in fields.items()
    ]
    parts.append(('form-data; name="file"; filename="Ё %22.wav"', file))
    return (
        b"".join(
            b"%b\r\nContent-Disposition: %b\r\n\r\n%b\r\n" % (DELIMITER, head.encode(), content)
            for head, content in parts
        )
        + DELIMITER
        + b"--\r\n"
    )


def read(blocks: list[bytes]) -> tuple[Form, bytes]:
    taken: list[bytes] = []
    form = Form(BOUNDARY, taken.append)
    for block in blocks:
        form.feed(block)
    form.close()
    return form, b"".join(taken)


def is_bare(content: bytes) -> bool:
    """Whether the content has no delimiter of its own."""
    return b"\r\n" + DELIMITER not in b"\r\n" + content


@given(FIELDS, FILES.filter(is_bare), st.lists(st.integers(0, 400), max_size=10))
def test_a_form_is_the_same_however_it_is_split(
    fields: dict[str, str], file: bytes, cuts: list[int]
) -> None:
    body = body_of(fields, file)
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})

    form, taken = read([body[start:stop] for start, stop in pairwise(places)])

    assert taken == file
    assert form.filename == 'Ё ".wav'
    assert form.fields == {
        name: value.encode("utf-8", "replace").decode().strip() for name, value in fields.items()
    }


@given(FIELDS, FILES.filter(is_bare))
def test_a_form_is_the_same_byte_by_byte(fields: dict[str, str], file: bytes) -> None:
    body = body_of(fields, file)

    assert read([bytes([byte]) for byte in body])[1] == read([body])[1] == file


@given(FILES.filter(is_bare), st.data())
def test_a_form_that_was_cut_anywhere_is_an_error(file: bytes, data: st.DataObject) -> None:
    body = body_of({"user": "1", "token": "t"}, file).removesuffix(b"\r\n")
    cut = data.draw(st.integers(0, len(body) - 1))

    with pytest.raises((errors.MalformedRequest, errors.InvalidRequest)):
        read([body[:cut]])


@given(st.lists(NEARLY | st.binary(max_size=30) | st.just(DELIMITER), max_size=10))
def test_garbage_is_an_error_of_its_sender(blocks: list[bytes]) -> None:
    with pytest.raises((errors.MalformedRequest, errors.InvalidRequest)):
        read(blocks)
