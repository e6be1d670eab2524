"""Whether the service says how it is, and what it says when something is away."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest

from launcher import ports
from tests import audio, jservice
from tests.api.problems import problem
from tests.jservice import JService
from tests.stack import Api, Stack, User

CHECKS = ["database", "broker", "uploads", "workers"]
SIX_SECONDS = timedelta(seconds=6)


@pytest.fixture(scope="module")
def cut_off(stack: Stack) -> Iterator[Api]:
    """An API whose database and broker are away."""
    nowhere = f"{ports.LOOPBACK}:{ports.free()}"
    api = stack.another_api(
        DATABASE_URL=f"postgresql://quaver@{nowhere}/quaver",
        REDIS_URL=f"redis://{nowhere}/0",
        UPLOADS_URL=(stack.folder / "elsewhere").as_uri(),
    )
    api.ready_path = "/health/live"
    with api:
        yield api


def test_a_living_process_says_so(api: Api) -> None:
    answer = api.get("/health/live")

    assert (answer.status_code, answer.json()) == (200, {"status": "live"})


def test_a_ready_service_names_all_that_it_needs(api: Api) -> None:
    answer = api.get("/health/ready")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "checks": dict.fromkeys(CHECKS, "ok"),
        "sources": {"jservice": "ok"},
    }


def test_a_source_that_is_away_is_named_and_makes_nothing_unready(
    api: Api, questions: JService
) -> None:
    questions.behave = jservice.status(404)
    api.ask_questions(1)

    answer = api.get("/health/ready")

    assert answer.status_code == 200
    assert re.fullmatch(
        r"answered with status 404; passed over for \d+ s", answer.json()["sources"]["jservice"]
    )


def test_many_may_ask_at_once(api: Api) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: api.get("/health/ready"), range(64)))

    assert {answer.status_code for answer in answers} == {200}


def test_a_process_without_its_servers_lives(cut_off: Api) -> None:
    assert cut_off.get("/health/live").status_code == 200


def test_what_is_away_is_named(cut_off: Api) -> None:
    answer = cut_off.get("/health/ready")

    assert problem(answer) == (503, "not-ready")
    assert answer.json()["checks"] == {
        "database": "unavailable",
        "broker": "unavailable",
        "uploads": "ok",
        "workers": "unknown",
    }
    assert answer.json()["detail"].startswith(
        "Not working: database (unavailable), broker (unavailable)."
    )
    assert answer.json()["sources"] == {"jservice": "unknown"}
    assert answer.elapsed < SIX_SECONDS


def test_every_route_says_within_six_seconds_that_the_database_is_away(
    cut_off: Api, alice: User, stack: Stack
) -> None:
    visitor = alice.elsewhere(cut_off)
    wav = audio.make_wav(0.1)
    zero = "00000000-0000-4000-8000-000000000000"

    answers: list[httpx.Response] = [
        cut_off.post("/users", json={"name": "Ann"}),
        cut_off.ask_questions(1),
        visitor.upload(wav),
        visitor.upload_plain(wav),
        cut_off.get(f"/record?id={zero}&user=1"),
        cut_off.get(f"/jobs/{zero}"),
        cut_off.get("/questions"),
        cut_off.get("/questions?format=csv"),
        cut_off.get("/questions/1"),
        cut_off.get("/questions/stats"),
    ]

    for answer in answers:
        assert problem(answer) == (503, "database-unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert answer.elapsed < SIX_SECONDS
    assert not any((stack.folder / "elsewhere").iterdir())


def test_who_names_themselves_behind_the_file_need_not_send_it_in_vain(cut_off: Api) -> None:
    boundary = "f0rm"
    begin = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'

    with cut_off.connect() as wire:
        wire.send_head(
            "POST /record",
            f"Content-Type: multipart/form-data; boundary={boundary}",
            "Content-Length: 100000000",
        )
        wire.send(begin.encode() + audio.make_wav(0.1))
        answer = wire.answer()

    assert (answer.status, answer.slug) == (503, "database-unavailable")
