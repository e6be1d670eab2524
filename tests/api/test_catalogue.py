"""GET and HEAD /questions, /questions/stats and /questions/{id}."""

import asyncio
import csv
import io
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event, text

from api import exports
from api.dependencies import Transactions
from api.exports import ROWS_PER_QUERY
from shared.catalogue import Selection
from shared.database import Database
from tests.api.problems import problem
from tests.faults.proxy import Proxy
from tests.jservice import JService, make_clues
from tests.questions import store
from tests.stack import Api, Stack, eventually

FIELDS = [
    "id",
    "question",
    "answer",
    "created_at",
    "saved_at",
    "source",
    "source_id",
    "category",
]


@pytest.fixture
def shelf(stack: Stack) -> Database:
    """The stack's database without any question."""
    with stack.database.transaction() as session:
        session.execute(text("TRUNCATE questions"))
    return stack.database


def fill(shelf: Database, count: int = 1, **columns: Any) -> list[int]:
    """Ids of new questions, newest first."""
    with shelf.transaction() as session:
        return list(store(session, count, **columns))[::-1]


def ids(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def follow(api: Api, answer: httpx.Response) -> Iterator[httpx.Response]:
    """A page and all that it leads to."""
    yield answer
    while next_url := answer.json()["next"]:
        assert answer.links["next"]["url"] == next_url
        answer = api.get(next_url)
        yield answer
    assert "link" not in answer.headers


def table(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))


def test_a_list_tells_what_the_post_tells(api: Api, questions: JService) -> None:
    questions.clues = make_clues(2)
    api.ask_questions(1)

    previous = api.ask_questions(1).json()

    newest, older = api.get("/questions").json()["items"]
    assert list(older.items()) == list(previous.items())
    assert newest["id"] > older["id"]


def test_pages_do_not_shift_while_questions_come(api: Api, shelf: Database) -> None:
    stored = fill(shelf, 25)
    found = []

    for answer in follow(api, api.get("/questions?limit=10")):
        found.append(ids(answer))
        fill(shelf, 3)

    assert found == [stored[:10], stored[10:20], stored[20:]]


def test_a_page_that_just_fits_is_the_last(api: Api, shelf: Database) -> None:
    stored = fill(shelf, 100)

    answer = api.get("/questions")

    assert ids(answer) == stored
    assert answer.json()["next"] is None


def test_without_questions_the_list_is_empty(api: Api, shelf: Database) -> None:
    assert api.get("/questions").json() == {"items": [], "next": None}


def test_what_is_selected_stays_so_on_the_next_page(api: Api, shelf: Database) -> None:
    stored = fill(shelf, 3, category="Arts & Crafts", question="A café, or two?", source="bank")
    fill(shelf, 2)

    first = api.get(
        "/questions", params={"q": "café -tea", "category": "arts & crafts", "limit": 1}
    )

    assert [ids(page) for page in follow(api, first)] == [[number] for number in stored]


def test_the_next_page_is_where_the_client_found_the_first(hasty: Api, shelf: Database) -> None:
    stored = fill(shelf, 2)

    answer = hasty.get("/questions?limit=1&after=9223372036854775807")

    assert (
        answer.json()["next"] == f"https://sound.example/quaver/questions?limit=1&after={stored[0]}"
    )


def test_a_form_that_is_left_empty_selects_all(api: Api, shelf: Database) -> None:
    stored = fill(shelf, 2)

    empty = "q=&category=&source=&difficulty=&format=&limit=&after="
    assert ids(api.get(f"/questions?{empty}")) == stored


@pytest.mark.parametrize(
    "query", ["q='", "q=%26%7C!", "q=%22", "q=-", "q=%FF", "q=%20", "q=a\u0301", "source=%27%3B--"]
)
def test_no_search_is_too_odd(api: Api, shelf: Database, query: str) -> None:
    assert api.get(f"/questions?{query}").status_code == 200


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("limit=5001&format=csv", "limit"),
        ("after=0", "after"),
        ("after=9223372036854775808", "after"),
        ("after=" + "9" * 5000, "after"),
        ("after=x", "after"),
        ("q=%00", "q"),
        ("q=" + "ship+" * 2000, "q"),
        ("category=a%00", "category"),
        ("source=a%00", "source"),
        ("difficulty=harder", "difficulty"),
        ("format=xml", "format"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_and_named(api: Api, query: str, field: str) -> None:
    answer = api.get(f"/questions?{query}")

    assert problem(answer) == (422, "invalid-request")
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"#/query/{field}"]


def test_a_search_has_characters(api: Api) -> None:
    detail = api.get("/questions", params={"q": "x" * 201}).json()["detail"]

    assert detail == "query/q: String should have at most 200 characters."


@pytest.mark.parametrize(
    ("query", "accept", "media_type"),
    [
        ("", "*/*", "application/json"),
        ("", "text/csv", "text/csv; charset=utf-8; header=present"),
        ("", "text/csv;q=0.1, application/jsonl", "application/jsonl"),
        ("", "application/x-ndjson", "application/x-ndjson"),
        ("?format=csv", "application/json", "text/csv; charset=utf-8; header=present"),
        ("?format=jsonl", "text/html", "application/jsonl"),
        ("?format=json&limit=1", "text/csv", "application/json"),
    ],
)
def test_the_client_chooses_the_format(
    api: Api, shelf: Database, query: str, accept: str, media_type: str
) -> None:
    answer = api.get(f"/questions{query}", headers={"Accept": accept})

    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["vary"] == "Accept"


def test_a_client_that_takes_none_of_the_formats_is_told_them(api: Api) -> None:
    answer = api.get("/questions", headers={"Accept": "text/html, application/xml;q=0.9"})

    assert problem(answer) == (406, "not-acceptable")
    assert answer.headers["vary"] == "Accept"
    assert "text/csv" in answer.json()["detail"]


def test_csv_is_read_back_as_it_was(api: Api, shelf: Database) -> None:
    awkward = 'He said: "eins,\tzwei;\u2028drei" \U0001f600'
    fill(shelf, question=awkward, answer="", category=None)
    fill(shelf, 2)

    answer = api.get("/questions?format=csv")

    assert answer.headers["content-disposition"] == 'attachment; filename="questions.csv"'
    assert answer.content.startswith((",".join(FIELDS) + "\r\n").encode())
    assert answer.content.count(b"\r\n") == answer.content.count(b"\n") == 4
    items = api.get("/questions").json()["items"]
    assert table(answer) == [
        {name: "" if value is None else str(value) for name, value in item.items()}
        for item in items
    ]
    assert items[2]["question"] == awkward


@pytest.mark.parametrize(
    "formula",
    ["=1+1", "+1", "-5", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", '=cmd|"/c calc"!A1'],
)
def test_csv_has_no_formulas(api: Api, shelf: Database, formula: str) -> None:
    text_columns = ("question", "answer", "category", "source", "source_id")
    columns: dict[str, Any] = dict.fromkeys(text_columns, formula)
    fill(shelf, **columns)

    [row] = table(api.get("/questions?format=csv"))

    assert {row[name] for name in text_columns} == {f"'{formula}"}
    assert api.get("/questions").json()["items"][0]["answer"] == formula


def test_csv_leaves_all_other_texts_alone(api: Api, shelf: Database) -> None:
    harmless = "2 + 2 = 4 'quoted' a-b c@d"
    fill(shelf, question=harmless, answer="'Tis")

    [row] = table(api.get("/questions?format=csv"))

    assert (row["question"], row["answer"]) == (harmless, "'Tis")


@pytest.mark.parametrize("rows", [0, 1, ROWS_PER_QUERY, ROWS_PER_QUERY + 1, 3 * ROWS_PER_QUERY])
def test_an_export_is_the_whole_table(api: Api, shelf: Database, rows: int) -> None:
    stored = fill(shelf, rows) if rows else []

    lines = api.get("/questions?format=jsonl").text.splitlines()
    cells = table(api.get("/questions?format=csv"))

    assert [json.loads(line)["id"] for line in lines] == stored
    assert [int(row["id"]) for row in cells] == stored


def test_json_lines_are_the_lists_items(api: Api, shelf: Database) -> None:
    fill(shelf, 3, question="Ein\u2028Ärger\n?")

    answer = api.get("/questions", headers={"Accept": "application/jsonl"})

    lines = answer.content.decode().removesuffix("\n").split("\n")
    assert [json.loads(line) for line in lines] == api.get("/questions").json()["items"]


def test_an_export_may_be_limited_selected_and_resumed(api: Api, shelf: Database) -> None:
    stored = fill(shelf, 5, category="Film")
    fill(shelf, 2)

    page = api.get("/questions?format=csv&category=film&limit=2")
    rest = api.get(f"/questions?format=csv&category=film&after={stored[1]}")

    assert [int(row["id"]) for row in table(page)] == stored[:2]
    assert [int(row["id"]) for row in table(api.get(page.links["next"]["url"]))] == stored[2:4]
    assert [int(row["id"]) for row in table(rest)] == stored[2:]


def test_an_export_reads_as_much_as_its_client_takes(database: Database) -> None:
    limits: list[int] = []

    def note(_: object, _cursor: object, _statement: str, values: Any, *_rest: object) -> None:
        limits.extend(value for name, value in values.items() if "param" in name)

    async def take_two(pages: AsyncIterator[exports.Rows]) -> list[int]:
        return [len(await anext(pages)) for _ in range(2)]

    with database.transaction() as session:
        store(session, 3 * ROWS_PER_QUERY)
    event.listen(database.engine, "before_cursor_execute", note)
    pages = exports._pages(Transactions(database, at_once=1), Selection(), None)
    sizes = asyncio.run(take_two(pages))

    assert sizes == limits == [ROWS_PER_QUERY, ROWS_PER_QUERY]


def test_an_export_whose_database_goes_away_is_not_taken_for_whole(
    stack: Stack, shelf: Database, tmp_path: Path
) -> None:
    fill(shelf, 6 * ROWS_PER_QUERY, answer="x" * 10_000)
    server = stack.engine.url.port
    assert server is not None
    with Proxy(server) as proxy:
        url = stack.engine.url.set(drivername="postgresql", port=proxy.port)
        settings = {"DATABASE_URL": url.render_as_string(hide_password=False)}
        api = Api("cut", tmp_path, stack._settings | settings)
        with api, api.client.stream("GET", "/questions?format=jsonl") as answer:
            blocks = answer.iter_bytes()
            assert next(blocks).startswith(b"{")

            with proxy.refusing(), pytest.raises(httpx.RemoteProtocolError):
                list(blocks)


def test_a_question_has_more_to_tell_than_a_list(api: Api, shelf: Database) -> None:
    [number] = fill(shelf, source="opentdb", difficulty="hard")

    question = api.get(f"/questions/{number}").json()

    assert list(question) == [*FIELDS, "difficulty", "licence", "attribution"]
    assert question["difficulty"] == "hard"
    assert {name: question[name] for name in FIELDS} == api.get("/questions").json()["items"][0]


def test_a_question_that_is_known_is_not_sent_again(api: Api, shelf: Database) -> None:
    [number] = fill(shelf)
    etag = api.get(f"/questions/{number}").headers["etag"]

    again = api.get(f"/questions/{number}", headers={"If-None-Match": f'"x", {etag}'})
    since = api.get(
        f"/questions/{number}", headers={"If-Modified-Since": "Tue, 01 Jan 2999 00:00:00 GMT"}
    )

    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert re.search(r"max-age=\d+", again.headers["cache-control"])
    assert since.status_code == 200


@pytest.mark.parametrize(
    "number", ["0", "-1", "1.0", "x", "1e3", "%00", "٣", str(2**63 - 1), str(2**63), "9" * 5000]
)
def test_a_question_that_is_not_there_is_not_found(api: Api, number: str) -> None:
    assert problem(api.get(f"/questions/{number}")) == (404, "not-found")


def test_the_statistics_count_what_is_there(api: Api, shelf: Database) -> None:
    fill(shelf, 2, source="opentdb", category="Film", difficulty="easy")
    [newest] = fill(shelf, source="bank", category="film")
    saved_at = api.get(f"/questions/{newest}").json()["saved_at"]

    stats = eventually(
        lambda: (found := api.get("/questions/stats").json())["total"] == 3 and found
    )

    assert [source["name"] for source in stats["sources"]] == ["opentdb", "bank"]
    assert stats["sources"][1] == {
        "name": "bank",
        "licence": None,
        "attribution": None,
        "count": 1,
        "newest_saved_at": saved_at,
    }
    assert stats["categories"] == [{"category": "Film", "count": 3}]
    assert {row["difficulty"]: row["count"] for row in stats["difficulties"]} == {
        "easy": 2,
        None: 1,
    }


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_statistics_say_how_long_they_hold(api: Api, method: str) -> None:
    answer = api.client.request(method, "/questions/stats")

    assert (answer.status_code, answer.content == b"") == (200, method == "HEAD")
    assert re.fullmatch(r"public, max-age=\d+", answer.headers["cache-control"])


@pytest.mark.parametrize("path", ["", "?limit=1", "?format=csv", "?format=jsonl", "/{id}"])
def test_head_has_the_headers_of_get_and_no_body(api: Api, shelf: Database, path: str) -> None:
    number, _ = fill(shelf, 2)
    address = "/questions" + path.format(id=number)

    get, head = api.get(address), api.client.head(address)

    ignored = {"date", "x-request-id", "transfer-encoding"}
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert {item for item in head.headers.items() if item[0] not in ignored} == {
        item for item in get.headers.items() if item[0] not in ignored
    }
