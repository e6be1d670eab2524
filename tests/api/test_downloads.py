"""GET and HEAD /record."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random
from uuid import UUID, uuid4

import httpx
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, text

from api.downloads import Span, parse_range
from shared import chunks, errors, jobs, records
from shared.models import Chunk
from tests import audio
from tests.api.problems import problem
from tests.stack import Api, Stack, User, eventually

BYTES = Random(1).randbytes(5 * chunks.CHUNK_BYTES + 1_000)
"""An MP3 as far as a download is concerned: more than one query brings."""

SIZE = len(BYTES)
CHUNK = chunks.CHUNK_BYTES


@dataclass(frozen=True)
class Link:
    """A recording that can be asked for in every way."""

    api: Api
    id: UUID
    user: int

    def get(self, *, inline: str = "", **headers: str) -> httpx.Response:
        return self._ask("GET", inline, headers)

    def head(self, *, inline: str = "", **headers: str) -> httpx.Response:
        return self._ask("HEAD", inline, headers)

    def _ask(self, method: str, inline: str, headers: dict[str, str]) -> httpx.Response:
        params = {"id": str(self.id), "user": str(self.user)} | (
            {"inline": inline} if inline else {}
        )
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.api.client.request(method, "/record", params=params, headers=named)


MakeLink = Callable[..., Link]


@pytest.fixture(scope="package")
def make_link(stack: Stack, alice: User) -> MakeLink:
    """Makes a record of Alice's whose job ends as told, or not at all."""

    def make(*, error: errors.QuaverError | None = None, body: bytes | None = None) -> Link:
        record_id, lease = uuid4(), timedelta(hours=1)
        with stack.database.transaction() as session:
            job = jobs.create(session, jobs.CONVERT, {})
            records.create(
                session,
                record_id=record_id,
                user_id=alice.id,
                job_id=job.id,
                filename="речь.wav",
            )
            claim = jobs.claim(session, job.id, lease=lease)
            assert claim is not None
            if error is not None:
                jobs.fail(session, claim, error)
            if body is not None:
                parts = [chunks.write_whole(session, record_id, io.BytesIO(body))]
                records.set_stored(session, record_id, parts, duration_seconds=2.5)
                jobs.finish(session, claim)
        return Link(alice.api, record_id, alice.id)

    return make


@pytest.fixture(scope="package")
def link(make_link: MakeLink) -> Link:
    return make_link(body=BYTES)


def test_a_download_has_all_headers_of_the_contract(link: Link) -> None:
    answer = link.get()

    headers = answer.headers
    assert answer.status_code == 200
    assert headers["content-type"] == "audio/mpeg"
    assert headers["content-length"] == str(SIZE)
    assert headers["accept-ranges"] == "bytes"
    assert re.fullmatch(r'"[0-9a-f]{32}"', headers["etag"])
    assert headers["last-modified"].endswith(" GMT")
    assert headers["content-disposition"].startswith("attachment; filename=")
    assert headers["cache-control"] == "private, max-age=31536000, immutable"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-robots-tag"] == "noindex"
    assert headers["x-content-type-options"] == "nosniff"


def test_an_mp3_of_many_chunks_arrives_whole(link: Link) -> None:
    assert link.get().content == BYTES


def test_a_real_mp3_begins_with_a_frame_and_decodes(alice: User) -> None:
    record = alice.upload(audio.make_wav(3, channels=1, sample_rate_hz=16_000)).json()

    mp3 = alice.api.get(record["url"]).content

    assert mp3[:3] == b"ID3" or (mp3[0] == 0xFF and mp3[1] & 0xE0 == 0xE0)
    assert len(audio.decoded(mp3, channels=1)) == 48_000


def test_head_has_the_headers_of_get_and_no_body(link: Link) -> None:
    get, head = link.get(), link.head()

    ignored = {"date", "x-request-id"}
    assert head.status_code == 200
    assert not head.content
    assert {n: v for n, v in head.headers.items() if n not in ignored} == {
        n: v for n, v in get.headers.items() if n not in ignored
    }


def test_a_player_may_have_it_inline(link: Link) -> None:
    assert link.get(inline="1").headers["content-disposition"].startswith("inline; ")
    assert link.get(inline="0").headers["content-disposition"].startswith("attachment; ")


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        ("bytes=-1", SIZE - 1, SIZE),
        (f"bytes=-{SIZE + 5}", 0, SIZE),
        (f"bytes=5-{SIZE + 5}", 5, SIZE),
        (f"bytes=5-{'9' * 500}", 5, SIZE),
        ("Bytes=000000000000000000000005-6", 5, 7),
        (f"bytes={CHUNK - 1}-{CHUNK}", CHUNK - 1, CHUNK + 1),
        (f"bytes={CHUNK}-{5 * CHUNK + 1}", CHUNK, 5 * CHUNK + 2),
        (f"bytes={4 * CHUNK - 7}-", 4 * CHUNK - 7, SIZE),
    ],
)
def test_a_range_brings_just_these_bytes(link: Link, wanted: str, start: int, stop: int) -> None:
    answer = link.get(Range=wanted)

    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(stop - start)
    assert answer.content == BYTES[start:stop]


@pytest.mark.parametrize("wanted", [f"bytes={SIZE}-", f"bytes={'9' * 900}-{'9' * 901}", "bytes=-0"])
def test_a_range_beyond_the_end_is_refused_with_the_size(link: Link, wanted: str) -> None:
    answer = link.get(Range=wanted)

    assert problem(answer) == (416, "range-not-satisfiable")
    assert answer.headers["content-range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize(
    "wanted",
    [
        "bytes=0-1,5-6",
        "bytes=5-2",
        "bytes=-",
        "bytes=",
        "bytes",
        "items=0-1",
        "bytes=a-b",
        "bytes=0-1-2",
        "bytes=--1",
        "bytes=0x0-1",
        "bytes=+0-1",
        "bytes=1.0-2",
        f"bytes={'9' * 5_000}-",
    ],
)
def test_a_range_that_is_none_or_several_brings_everything(link: Link, wanted: str) -> None:
    answer = link.get(Range=wanted)

    assert answer.status_code == 200
    assert len(answer.content) == SIZE


def test_a_range_full_of_spaces_costs_no_time(link: Link) -> None:
    answer = link.get(Range="bytes=" + " " * 50_000 + "x")

    assert answer.elapsed < timedelta(seconds=2)


@given(st.text("0123456789-=, bytes", max_size=12).map("bytes={}".format), st.integers(1, 2_000))
def test_ranges_are_parsed_as_the_rfc_says(value: str, size: int) -> None:
    assert parse_range(value, size) == _reference(value.strip().removeprefix("bytes="), size)


@given(st.integers(0, 2_000), st.integers(0, 2_000), st.integers(1, 2_000))
def test_two_positions_are_a_range_of_bytes(first: int, last: int, size: int) -> None:
    asked = parse_range(f"bytes={first}-{last}", size)

    if last < first:
        assert asked is None
    else:
        assert asked is not None
        assert bytes(size)[first : last + 1] == bytes(max(0, asked.stop - asked.start))


def _reference(ranges: str, size: int) -> Span | None:
    """RFC 9110, 14.1.2, word for word."""
    first, dash, last = ranges.partition("-")
    if not dash or not all(not n or n.isdecimal() for n in (first, last)) or not first + last:
        return None
    if not first:
        return Span(max(0, size - int(last)), size if int(last) else 0)
    if last and int(last) < int(first):
        return None
    return Span(int(first), min(size, int(last) + 1) if last else size)


@pytest.mark.parametrize("condition", ["{etag}", "{modified}"])
def test_if_range_brings_a_part_of_the_same_mp3(link: Link, condition: str) -> None:
    headers = link.head().headers
    same = condition.format(etag=headers["etag"], modified=headers["last-modified"])

    assert link.get(Range="bytes=0-9", If_Range=same).status_code == 206


@pytest.mark.parametrize("condition", ['"another"', "W/{etag}", "{before}", "{after}", "", "x"])
def test_if_range_brings_the_whole_of_another_mp3(link: Link, condition: str) -> None:
    now = datetime.now(UTC)
    before, after = (format_datetime(now + timedelta(days=d), usegmt=True) for d in (-1, 1))
    other = condition.format(etag=link.head().headers["etag"], before=before, after=after)

    assert link.get(Range="bytes=0-9", If_Range=other).status_code == 200


@pytest.mark.parametrize(
    "condition", ["{etag}", "W/{etag}", '"a", {etag}', '"a",W/{etag} , "b"', "*"]
)
@pytest.mark.parametrize("method", [Link.get, Link.head])
def test_a_good_copy_is_not_sent_again(
    link: Link, condition: str, method: Callable[..., httpx.Response]
) -> None:
    etag = link.head().headers["etag"]

    answer = method(link, If_None_Match=condition.format(etag=etag))

    assert answer.status_code == 304
    assert not answer.content
    assert answer.headers["etag"] == etag
    assert "cache-control" in answer.headers
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("condition", ['"a"', 'W/"a", "b"', "{bare}", "", '"'])
def test_another_copy_is_no_good(link: Link, condition: str) -> None:
    bare = link.head().headers["etag"].strip('"')

    assert link.get(If_None_Match=condition.format(bare=bare)).status_code == 200


def test_several_lines_of_tags_are_one_list(link: Link) -> None:
    tags = [("If-None-Match", '"a"'), ("If-None-Match", link.head().headers["etag"])]
    params = {"id": str(link.id), "user": str(link.user)}

    assert link.api.get("/record", params=params, headers=tags).status_code == 304


@pytest.mark.parametrize(("days", "status"), [(-1, 200), (0, 304), (1, 304)])
def test_what_was_modified_since_is_sent(link: Link, days: int, status: int) -> None:
    modified = datetime.strptime(
        link.head().headers["last-modified"], "%a, %d %b %Y %H:%M:%S GMT"
    ).replace(tzinfo=UTC)

    since = format_datetime(modified + timedelta(days=days), usegmt=True)

    assert link.get(If_Modified_Since=since).status_code == status


def test_tags_count_more_than_dates(link: Link) -> None:
    since = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)

    assert link.get(If_None_Match='"another"', If_Modified_Since=since).status_code == 200


@pytest.mark.parametrize(
    "date",
    [
        "",
        "yesterday",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2020 00:00:00 +99999999999999",
        "Mon, 99 Jan 2020 99:99:99 GMT",
    ],
)
def test_a_date_that_is_none_is_ignored(link: Link, date: str) -> None:
    assert link.get(If_Modified_Since=date).status_code == 200
    assert link.get(If_Range=date, Range="bytes=0-1").status_code == 200


@pytest.mark.parametrize(
    ("record_id", "user"),
    [
        ("{id}", "{bob}"),
        ("{unknown}", "{alice}"),
        ("", "{alice}"),
        ("{id}", ""),
        ("1", "{alice}"),
        ("{id}x", "{alice}"),
        ("%00", "{alice}"),
        ("%ED%A0%80", "%FF"),
        ("{id}", "0"),
        ("{id}", "-{alice}"),
        ("{id}", "{alice}.0"),
        ("{id}", "9223372036854775808"),
        ("{id}", "18446744073709551617"),
        ("{id}", "9" * 5_000),
        ("{id}'--", "{alice}"),
    ],
)
def test_what_is_not_there_and_what_is_not_yours_look_alike(
    link: Link, bob: User, record_id: str, user: str
) -> None:
    values = {"id": link.id, "alice": link.user, "bob": bob.id, "unknown": uuid4()}

    query = f"id={record_id}&user={user}".format(**values)
    answer = link.api.get(f"/record?{query}", headers=bob.headers)

    assert problem(answer) == (404, "record-not-found")
    assert answer.json()["detail"] == errors.RecordNotFound().detail
    assert link.api.client.head(f"/record?{query}").status_code == 404


def test_an_unfinished_recording_says_when_to_come_again(make_link: MakeLink) -> None:
    answer = make_link().get()

    assert problem(answer) == (409, "record-not-ready")
    assert int(answer.headers["retry-after"]) > 0


def test_a_failed_recording_says_why(make_link: MakeLink) -> None:
    link = make_link(error=errors.InvalidWav("The samples are broken."))

    answer = link.get()

    assert problem(answer) == (410, "conversion-failed")
    assert answer.json()["detail"] == "The samples are broken."
    assert link.head().status_code == 410


def test_a_client_that_takes_nothing_is_given_up(
    make_link: MakeLink, stack: Stack, strict: Api
) -> None:
    link = make_link(body=bytes(12_000_000))  # More than fits between the two processes.

    with strict.connect() as wire:
        wire.send_head(f"GET /record?id={link.id}&user={link.user}")
        assert wire.receive(100).startswith(b"HTTP/1.1 200")
        assert wire.port in peers(strict)
        eventually(lambda: open_transactions(stack) == 0)

        eventually(lambda: wire.port not in peers(strict))


def peers(api: Api) -> set[int]:
    """The ports of all that are connected to this process, or it to them."""
    ends = (connection.raddr for connection in psutil.Process(api.pid).net_connections())
    return {end.port for end in ends if len(end)}


def open_transactions(stack: Stack) -> int:
    """Those of the APIs in which no statement runs."""
    idle = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = 'quaver api' AND state LIKE 'idle in transaction%'"
    )
    with stack.database.transaction() as session:
        return int(session.scalar(idle) or 0)


def test_a_download_of_what_is_gone_breaks_off(make_link: MakeLink, stack: Stack) -> None:
    """And it is nobody's mistake: the log has no traceback."""
    link = make_link(body=BYTES)
    with stack.database.transaction() as session:
        session.execute(delete(Chunk).where(Chunk.record_id == link.id))

    with pytest.raises(httpx.RemoteProtocolError):
        link.get()


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("If-Match", "*", 200),
        ("If-Match", '"x", {etag}', 200),
        ("If-Match", '"x"', 412),
        ("If-Match", "W/{etag}", 412),
        ("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT", 412),
        ("If-Unmodified-Since", "Fri, 01 Jan 2100 00:00:00 GMT", 200),
        ("If-Unmodified-Since", "yesterday", 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_nothing_is_done_with_what_the_client_does_not_expect(
    make_link: MakeLink, alice: User, method: str, name: str, value: str, status: int
) -> None:
    link = make_link(body=b"frames")
    condition = {name: value.format(etag=link.head().headers["etag"])}
    path = f"/record?id={link.id}&user={link.user}"

    answer = alice.api.client.request(method, path, headers=alice.headers | condition)

    is_deleted = (method, status) == ("DELETE", 200)
    assert answer.status_code == (204 if is_deleted else status)
    assert link.get().status_code == (404 if is_deleted else 200)
