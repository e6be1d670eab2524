"""GET and HEAD /record/peaks."""

import io
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest

from api.waveforms import ROWS_PER_QUERY
from shared import chunks, errors, jobs, records, waveforms
from shared.waveforms import ROW_BYTES
from tests import audio
from tests.api.problems import problem
from tests.stack import Stack, User

Link = Callable[..., httpx.Response]
"""Asks for a recording's waveform: `link("HEAD", samples_per_pixel=512, headers=…)`."""

PIXELS = Random(1).randbytes(2 * ROWS_PER_QUERY * ROW_BYTES + 1_002)
"""More than two queries bring; the numbers are any of -128 to 127."""


def link_of(user: User, record_id: object) -> Link:
    def ask(method: str = "GET", *, headers: Any = None, **query: Any) -> httpx.Response:
        params: dict[str, Any] = {"id": str(record_id), "user": user.id} | query
        return user.api.client.request(method, "/record/peaks", params=params, headers=headers)

    return ask


@pytest.fixture(scope="package")
def make_link(stack: Stack, alice: User) -> Callable[..., Link]:
    """Makes a record of Alice's whose job ends as told, or not at all."""

    def make(*, error: errors.QuaverError | None = None, pixels: bytes = b"") -> Link:
        record_id, wav = uuid4(), audio.read([audio.make_wav(sample_rate_hz=8_000)])
        with stack.database.transaction() as session:
            job = jobs.create(session, jobs.CONVERT, {"wav": wav.to_json()})
            records.create(
                session, record_id=record_id, user_id=alice.id, job_id=job.id, filename=""
            )
            claim = jobs.claim(session, job.id, lease=timedelta(hours=1))
            assert claim is not None
            if error is not None:
                jobs.fail(session, claim, error)
            if pixels:
                waveforms.write(session, record_id, 0, io.BytesIO(pixels))
                part = chunks.write(session, record_id, 0, io.BytesIO(b"MP3"))
                records.set_stored(session, record_id, [part], duration_seconds=1)
                jobs.finish(session, claim)
        return link_of(alice, record_id)

    return make


@pytest.fixture(scope="package")
def long(make_link: Callable[..., Link]) -> Link:
    return make_link(pixels=PIXELS)


@pytest.fixture(scope="package")
def short(alice: User) -> Link:
    """A recording that has been uploaded: a second in which it gets louder."""
    ramp = np.arange(44_100)[:, None] * np.array([[0.7, 0.7]])
    wav = audio.make_wav(samples=ramp.astype(np.int16))
    return link_of(alice, alice.upload(wav).json()["id"])


def test_a_waveform_is_that_of_the_wav(short: Link) -> None:
    answer = short()

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    waveform = answer.json()
    data = waveform.pop("data")
    assert waveform == {
        "version": 2,
        "channels": 1,
        "sample_rate": 44_100,
        "samples_per_pixel": 256,
        "bits": 8,
        "length": 173,
    }
    ramp = [int(0.7 * sample) for sample in range(44_100)]
    assert data[::2] == [level // 256 for level in ramp[::256]]
    assert data[1::2] == [level // 256 for level in [*ramp[255::256], ramp[-1]]]


def test_a_waveform_is_compact(short: Link) -> None:
    assert short(samples_per_pixel=65_536).text == (
        '{"version":2,"channels":1,"sample_rate":44100,"samples_per_pixel":65536,"bits":8,'
        '"length":1,"data":[0,120]}'
    )


def test_it_has_the_headers_that_the_recording_has(short: Link) -> None:
    headers = short().headers

    assert headers["etag"].startswith('"')
    assert headers["last-modified"].endswith(" GMT")
    assert headers["cache-control"] == "private, max-age=31536000, immutable"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-robots-tag"] == "noindex"
    assert headers["x-content-type-options"] == "nosniff"


def test_a_long_one_arrives_whole(long: Link) -> None:
    waveform = long().json()

    assert waveform["sample_rate"] == 8_000
    assert waveform["length"] == len(PIXELS) / 2
    assert waveform["data"] == np.frombuffer(PIXELS, np.int8).tolist()


@pytest.mark.parametrize("factor", [2, 3, 100, 30_000, 65_536])
def test_a_coarser_one_has_the_extremes_of_the_finer(long: Link, factor: int) -> None:
    waveform = long(samples_per_pixel=256 * factor).json()

    lows, highs = np.frombuffer(PIXELS, np.int8).reshape(-1, 2).T
    starts = range(0, len(lows), factor)
    assert waveform["samples_per_pixel"] == 256 * factor
    assert waveform["length"] == len(starts)
    assert waveform["data"][::2] == [min(lows[start : start + factor]) for start in starts]
    assert waveform["data"][1::2] == [max(highs[start : start + factor]) for start in starts]


@pytest.mark.parametrize("wrong", ["0", "-256", "255", "257", "16777472", "x", "", "9" * 5_000])
def test_pixels_of_another_size_are_refused(short: Link, wrong: str) -> None:
    answer = short(samples_per_pixel=wrong)

    assert problem(answer) == (422, "invalid-request")
    assert answer.json()["errors"][0]["pointer"] == "#/query/samples_per_pixel"


def test_head_has_the_headers_of_get_and_no_body(short: Link) -> None:
    get, head = short(), short("HEAD")

    ignored = {"date", "x-request-id", "transfer-encoding"}
    assert head.status_code == 200
    assert not head.content
    assert {n: v for n, v in head.headers.items() if n not in ignored} == {
        n: v for n, v in get.headers.items() if n not in ignored
    }


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_good_copy_is_not_sent_again(short: Link, method: str) -> None:
    headers = short("HEAD").headers
    conditions = {
        "If-None-Match": headers["etag"],
        "If-Modified-Since": headers["last-modified"],
    }

    for name, value in conditions.items():
        answer = short(method, headers={name: value})
        assert answer.status_code == 304
        assert answer.headers["etag"] == headers["etag"]
        assert not answer.content


def test_a_coarser_copy_is_another_one(short: Link) -> None:
    headers = {"If-None-Match": short("HEAD").headers["etag"]}

    assert short(samples_per_pixel=512, headers=headers).status_code == 200


def test_what_is_not_there_and_what_is_not_yours_look_alike(short: Link, bob: User) -> None:
    for query in ({"user": bob.id}, {"id": str(uuid4())}, {"id": "x"}, {"user": "x"}):
        answer = short(headers=bob.headers, **query)

        assert problem(answer) == (404, "record-not-found")
        assert short("HEAD", **query).status_code == 404


def test_an_unfinished_recording_says_when_to_come_again(make_link: Callable[..., Link]) -> None:
    answer = make_link()()

    assert problem(answer) == (409, "record-not-ready")
    assert int(answer.headers["retry-after"]) > 0


def test_a_failed_recording_says_why(make_link: Callable[..., Link]) -> None:
    answer = make_link(error=errors.InvalidWav("The samples are broken."))()

    assert problem(answer) == (410, "conversion-failed")
    assert answer.json()["detail"] == "The samples are broken."
