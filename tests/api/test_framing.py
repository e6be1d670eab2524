"""Requests whose ends two readers might see in different places, and other oddities of HTTP/1.

Behind each of them comes another request, so that the statuses tell what was taken for what.
"""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests import audio
from tests.stack import Stack, User, eventually

WAV = audio.make_wav(0.1)
LENGTH = b"Content-Length: %d" % len(WAV)
CHUNKED = b"Transfer-Encoding: chunked"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ"

HOST = b"Host: localhost"
LIVE = b"GET /health/live HTTP/1.1"
HIDDEN = LIVE + b"\r\n" + HOST + b"\r\n\r\n"
NEXT = b"GET /nowhere HTTP/1.1\r\n" + HOST + b"\r\nConnection: close\r\n\r\n"


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n" % (len(data), extension, data)


LAST = chunk(b"")
IN_CHUNKS = chunk(WAV[:1000]) + chunk(WAV[1000:]) + LAST

Head = list[bytes]

UPLOADS: dict[str, tuple[Head, bytes]] = {
    "length": ([LENGTH], WAV),
    "length amid spaces": ([b"Content-Length:   %d  " % len(WAV)], WAV),
    "length with zeros before": ([b"Content-Length: 000%d" % len(WAV)], WAV),
    "chunks": ([CHUNKED], IN_CHUNKS),
    "chunks and a space": ([CHUNKED + b" "], IN_CHUNKS),
    "chunks in capitals": ([CHUNKED.upper()], IN_CHUNKS),
    "chunks with zeros before": ([CHUNKED], b"0" * 30 + IN_CHUNKS),
    "chunks with extensions": ([CHUNKED], chunk(WAV, b';a=b;c="d"') + b"0;e\r\n\r\n"),
    "trailers": ([CHUNKED], chunk(WAV) + b"0\r\nAuthorization: Bearer x\r\nX: y\r\n\r\n"),
    "another protocol wished for": ([LENGTH, H2C], WAV),
    "another protocol, and chunks": ([CHUNKED, H2C], IN_CHUNKS),
    "websocket": ([LENGTH, b"Connection: Upgrade", b"Upgrade: websocket"], WAV),
    "unknown expectation": ([LENGTH, b"Expect: a miracle"], WAV),
    "part of something": ([LENGTH, b"Content-Range: bytes 0-9/100"], WAV),
    "coding that is none": ([LENGTH, b"Content-Encoding: identity"], WAV),
}

BAD_UPLOADS: dict[str, tuple[Head, bytes, int]] = {
    "length and chunks": ([LENGTH, CHUNKED], LAST + HIDDEN, 400),
    "chunks and length": ([CHUNKED, LENGTH], LAST + HIDDEN, 400),
    "no length and chunks": ([b"Content-Length: 0", CHUNKED], LAST + HIDDEN, 400),
    "length twice": ([LENGTH, LENGTH], WAV, 400),
    "two lengths": ([LENGTH, b"Content-Length: 0"], HIDDEN, 400),
    "list of lengths": ([b"Content-Length: 0, 0"], HIDDEN, 400),
    "length with a plus": ([b"Content-Length: +0"], HIDDEN, 400),
    "length with a minus": ([b"Content-Length: -1"], HIDDEN, 400),
    "length in two words": ([b"Content-Length: 0 0"], HIDDEN, 400),
    "hexadecimal length": ([b"Content-Length: 0x10"], HIDDEN, 400),
    "length with an underscore": ([b"Content-Length: 1_0"], HIDDEN, 400),
    "empty length": ([b"Content-Length:"], HIDDEN, 400),
    "length of 65 bits": ([b"Content-Length: 18446744073709551616"], HIDDEN, 400),
    "space before the colon": ([b"Content-Length : 0"], HIDDEN, 400),
    "chunks twice": ([CHUNKED, CHUNKED], LAST + HIDDEN, 400),
    "chunks in chunks": ([CHUNKED + b", chunked"], LAST + HIDDEN, 400),
    "chunks, then as it is": ([CHUNKED + b", identity"], LAST + HIDDEN, 400),
    "compressed, in chunks": ([b"Transfer-Encoding: gzip, chunked"], IN_CHUNKS, 501),
    "unknown coding": ([b"Transfer-Encoding: xchunked"], LAST + HIDDEN, 501),
    "quoted coding": ([b'Transfer-Encoding: "chunked"'], LAST + HIDDEN, 501),
    "coding behind a tab": ([b"Transfer-Encoding: \x0bchunked"], LAST + HIDDEN, 400),
    "coding on the next line": ([b"Transfer-Encoding:\r\n chunked"], LAST + HIDDEN, 400),
    "empty coding": ([b"Transfer-Encoding:"], HIDDEN, 400),
    "another protocol, and both": ([LENGTH, CHUNKED, H2C], LAST + HIDDEN, 400),
    "chunk of 68 bits": ([CHUNKED], b"f" * 17 + b"\r\n" + WAV, 400),
    "chunk of less than nothing": ([CHUNKED], b"-1\r\n" + WAV, 400),
    "chunk of 0x5": ([CHUNKED], b"0x5\r\nRIFFx\r\n" + LAST, 400),
    "chunk without a size": ([CHUNKED], b"\r\n" + WAV, 400),
    "chunk with a space": ([CHUNKED], chunk(WAV, b" ") + LAST, 400),
    "chunk with a bare LF": ([CHUNKED], b"0\n\n" + HIDDEN, 400),
    "LF in an extension": ([CHUNKED], chunk(WAV, b";a\nb") + LAST, 400),
    "chunk longer than it says": ([CHUNKED], b"4\r\nRIFF1\r\n" + LAST, 400),
    "no last chunk": ([CHUNKED], chunk(WAV), 400),
    "length in a trailer": ([CHUNKED], chunk(WAV) + b"0\r\nContent-Length: 5\r\n\r\n", 400),
    "compressed": ([LENGTH, b"Content-Encoding: gzip"], WAV, 415),
    "two media types": ([LENGTH, b"Content-Type: multipart/form-data; boundary=\r\n b"], WAV, 400),
}

SERVED: dict[str, bytes] = {
    "plain": LIVE,
    "whole address": b"GET http://localhost/health/live HTTP/1.1",
    "another's address": b"GET http://elsewhere:99/health/live HTTP/1.1",
    "empty lines before": b"\r\n\r\n" + LIVE,
    "Latin letters": LIVE + b"\r\nX: \xff\xfe",
    "overriden method": LIVE + b"\r\nX-HTTP-Method-Override: DELETE",
    "another protocol wished for": LIVE + b"\r\n" + H2C,
    "range of many digits": LIVE + b"\r\nRange: bytes=" + b"9" * 5000 + b"-",
}

ODD: dict[str, tuple[bytes, list[int]]] = {
    "HTTP/1.0": (b"GET /health/live HTTP/1.0", [200]),
    "HTTP/1.0 kept alive": (b"GET /health/live HTTP/1.0\r\nConnection: keep-alive", [200]),
    "body of a GET": (LIVE + b"\r\nContent-Length: %d" % len(NEXT), [200]),
    "body nobody asked for": (b"POST /x HTTP/1.1\r\nContent-Length: %d" % len(NEXT), [404]),
    "HTTP/0.9": (b"GET /", [505]),
    "HTTP/0.9 by name": (b"GET / HTTP/0.9", [505]),
    "HTTP/1.2": (b"GET / HTTP/1.2", [400]),
    "HTTP/2.0": (b"GET / HTTP/2.0", [505]),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n", [400]),
    "small letters": (b"get /health/live HTTP/1.1", [400]),
    "unknown method": (b"BREW /health/live HTTP/1.1", [400]),
    "TRACE": (b"TRACE /health/live HTTP/1.1", [405, 404]),
    "asterisk": (b"OPTIONS * HTTP/1.1", [404, 404]),
    "authority": (b"GET localhost:80 HTTP/1.1", [400]),
    "CONNECT": (b"CONNECT localhost:80 HTTP/1.1", [400]),
    "CONNECT to a path": (b"CONNECT /health/live HTTP/1.1", [400]),
    "space in the address": (b"GET /health /live HTTP/1.1", [400]),
    "NUL in the address": (b"GET /health/live\0 HTTP/1.1", [400]),
    "no ASCII in the address": (b"GET /\xff HTTP/1.1", [400]),
    "NUL in a name": (LIVE + b"\r\nX\0: y", [400]),
    "NUL in a value": (LIVE + b"\r\nX: a\0b", [400]),
    "CR in a value": (LIVE + b"\r\nX: a\rb", [400]),
    "LF in a value": (LIVE + b"\r\nX: a\nTransfer-Encoding: chunked", [400]),
    "value on two lines": (LIVE + b"\r\nX: a\r\n b", [400]),
    "space before the first name": (LIVE + b"\r\n X: y", [400]),
    "no colon": (LIVE + b"\r\nX", [400]),
    "no name": (LIVE + b"\r\n: y", [400]),
    "name in Cyrillic": (LIVE + "\r\nЁ: y".encode(), [400]),
    "two hosts": (LIVE + b"\r\nHost: elsewhere", [400]),
    "host twice": (LIVE + b"\r\n" + HOST, [400]),
    "10,000 headers": (LIVE + b"\r\nX: y" * 10_000, [431]),
    "address of 100 kB": (b"GET /" + b"x" * 100_000 + b" HTTP/1.1", [414]),
}


@pytest.fixture
def nothing_left(stack: Stack) -> Iterator[None]:
    """After the test there are no more uploads, records and jobs than before."""
    before = stack.rows()
    yield
    eventually(lambda: not stack.has_uploads())
    assert stack.rows() == before


def statuses(user: User, request: bytes) -> list[int]:
    """Of all answers, up to the end of the connection."""
    found = []
    with user.api.connect() as wire, suppress(ConnectionResetError):
        wire.send(request + NEXT)
        found += [answer.status for answer in wire.answers()]
    return found


def upload(user: User, head: list[bytes], body: bytes) -> bytes:
    lines = [
        f"POST /record?user={user.id} HTTP/1.1".encode(),
        f"Authorization: Bearer {user.token}".encode(),
        *(HOST, *head, b"", body),
    ]
    return b"\r\n".join(lines)


@pytest.mark.parametrize("case", UPLOADS)
def test_an_upload_ends_where_it_says(alice: User, case: str) -> None:
    head, body = UPLOADS[case]

    assert statuses(alice, upload(alice, head, body)) == [201, 404]


@pytest.mark.parametrize("case", BAD_UPLOADS)
def test_an_upload_without_a_certain_end_is_refused(
    alice: User, nothing_left: None, case: str
) -> None:
    head, body, status = BAD_UPLOADS[case]

    assert statuses(alice, upload(alice, head, body)) == [status]


@pytest.mark.parametrize("case", SERVED)
def test_odd_requests_are_served(alice: User, case: str) -> None:
    request = b"\r\n".join([SERVED[case], HOST, b"", b""])

    assert statuses(alice, request) == [200, 404]


@pytest.mark.parametrize("case", ODD)
def test_odder_requests_are_told_so(alice: User, nothing_left: None, case: str) -> None:
    line, expected = ODD[case]

    assert statuses(alice, b"\r\n".join([line, HOST, b"", b""])) == expected


@pytest.mark.parametrize("ends", [b"\n", b"\r"])
def test_lines_end_with_both_characters(alice: User, ends: bytes) -> None:
    assert statuses(alice, HIDDEN.replace(b"\r\n", ends)) == [400]


def test_a_request_of_http_1_1_names_its_host(alice: User) -> None:
    assert statuses(alice, LIVE + b"\r\n\r\n") == [400]
    assert statuses(alice, LIVE.replace(b"1.1", b"1.0") + b"\r\n\r\n") == [200]


def test_an_old_client_is_not_told_to_continue(alice: User) -> None:
    request = upload(alice, [LENGTH, b"Expect: 100-continue"], WAV)

    assert statuses(alice, request) == [100, 201, 404]
    assert statuses(alice, request.replace(b"HTTP/1.1", b"HTTP/1.0", 1)) == [201]


def test_a_chunk_may_claim_to_be_giant(alice: User, nothing_left: None) -> None:
    with alice.api.connect() as wire:
        wire.post(alice, "Transfer-Encoding: chunked")
        wire.send(b"f" * 16 + b"\r\nNo WAV at all")

        assert wire.answer().slug == "not-a-wav"


def test_uploads_may_follow_each_other_without_waiting(alice: User) -> None:
    assert statuses(alice, upload(alice, [LENGTH], WAV) * 2) == [201, 201, 404]


def test_what_follows_a_request_does_not_cost_it_its_answer(alice: User) -> None:
    assert statuses(alice, HIDDEN + b"\x16\x03\x01\r\n\r\n") == [200]


@pytest.mark.parametrize("wish", [b"", H2C + b"\r\n"])
def test_requests_that_follow_each_other_without_end_are_cut_off(alice: User, wish: bytes) -> None:
    found = statuses(alice, (LIVE + b"\r\n" + wish + HOST + b"\r\n\r\n") * 2_000)

    assert set(found) == {200}
    assert len(found) < 50
