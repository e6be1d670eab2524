"""What the service says of itself: /openapi.json and /docs."""

import re
import string
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema_rs
import openapi_spec_validator
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from api import openapi, tus
from api.app import create_app
from api.problems import MEDIA_TYPE
from api.schemas import NewUser
from shared import errors
from shared.settings import Settings
from tests import jservice, schema
from tests.stack import Api

URLS = re.compile(r"""(?:https?:)?//[^\s"'<>]+""")


@pytest.fixture(scope="module")
def document(api: Api) -> Any:
    answer = api.get("/openapi.json")
    assert answer.status_code == 200
    return answer.json()


def operations(document: Any) -> dict[str, Any]:
    return {
        f"{verb.upper()} {path}": operation
        for path, verbs in document["paths"].items()
        for verb, operation in verbs.items()
    }


def references(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(references, node))
    if isinstance(node, dict):
        return set().union(
            {node["$ref"]} if "$ref" in node else (), *map(references, node.values())
        )
    return set()


def is_a_name(text: str) -> bool:
    try:
        NewUser(name=text)
    except ValidationError:
        return False
    return True


def is_metadata(text: str) -> bool:
    try:
        tus.parse_metadata(text)
    except errors.MalformedRequest as error:
        if isinstance(error.__context__, UnicodeDecodeError):
            raise error.__context__ from None
        return False
    return True


def test_it_is_what_it_says_it_is(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    openapi_spec_validator.validate(document)


def test_everything_there_is_is_described(document: Any) -> None:
    assert set(operations(document)) == {
        "POST /users",
        "POST /users/{user_id}/token",
        "POST /record",
        "GET /record",
        "HEAD /record",
        "DELETE /record",
        "GET /records",
        "GET /record/peaks",
        "HEAD /record/peaks",
        "POST /uploads",
        "OPTIONS /uploads",
        "HEAD /uploads/{upload_id}",
        "GET /uploads/{upload_id}",
        "PATCH /uploads/{upload_id}",
        "DELETE /uploads/{upload_id}",
        "OPTIONS /uploads/{upload_id}",
        "POST /questions",
        "GET /questions",
        "HEAD /questions",
        "GET /questions/stats",
        "HEAD /questions/stats",
        "GET /questions/{question_id}",
        "HEAD /questions/{question_id}",
        "GET /jobs/{job_id}",
        "GET /jobs/{job_id}/events",
        "GET /health/live",
        "GET /health/ready",
        "GET /metrics",
    }


def test_fields_are_explained(document: Any) -> None:
    schemas = document["components"]["schemas"]

    assert schemas["StoredRecord"]["properties"]["size"]["description"] == "Bytes of the MP3."
    assert schemas["Problem"]["properties"]["instance"]["description"].startswith("The path")


def test_nothing_of_the_inside_is_told(document: Any) -> None:
    assert "shared/" not in str(document)
    assert ".py" not in str(document)


def test_every_reference_leads_somewhere(document: Any) -> None:
    for reference in references(document):
        node = document
        for name in reference.removeprefix("#/").split("/"):
            node = node[name]

        assert node


def test_every_operation_has_an_id_of_its_own_and_a_summary(document: Any) -> None:
    described = operations(document).values()

    assert len({operation["operationId"] for operation in described}) == len(described)
    assert all(operation["summary"] for operation in described)


def test_every_link_leads_to_an_operation_and_says_what_that_takes(document: Any) -> None:
    taken = {
        operation["operationId"]: {
            parameter.get("name") or parameter["$ref"].rpartition("/")[2]
            for parameter in operation.get("parameters", [])
        }
        for operation in operations(document).values()
    }
    links = [
        link
        for operation in operations(document).values()
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]

    assert len(links) > 10
    for link in links:
        names = {name.removeprefix("path.") for name in link["parameters"]}
        assert names <= taken[link["operationId"]]


def test_examples_are_as_their_schemas_have_it(document: Any) -> None:
    schemas = document["components"]["schemas"]
    found = {name: each["examples"] for name, each in schemas.items() if "examples" in each}

    assert found.keys() == openapi.EXAMPLES.keys()
    for name, examples in found.items():
        whole = schemas[name] | {"components": document["components"]}
        for example in examples:
            jsonschema_rs.validate(whole, example)


def test_examples_of_requests_work(document: Any, api: Api, questions: jservice.JService) -> None:
    questions.behave = schema.serve_new
    for path, name, status in (("/users", "NewUser", 201), ("/questions", "NewQuestions", 200)):
        for example in document["components"]["schemas"][name]["examples"]:
            assert api.post(path, json=example).status_code == status


@pytest.mark.parametrize("form", ["{}", "{}x", "x{}", "x{}x"])
def test_the_pattern_of_names_is_what_names_may_be(document: Any, form: str) -> None:
    pattern = document["components"]["schemas"]["NewUser"]["properties"]["name"]["pattern"]
    names = [form.format(chr(code)) for code in range(0x3100)]

    assert [n for n in names if bool(re.search(pattern, n)) != is_a_name(n)] == []


def test_a_long_name_within_white_space_is_as_the_schema_has_it(document: Any, api: Api) -> None:
    schema = document["components"]["schemas"]["NewUser"]
    new = {"name": "\x85 " + "e\u0301" * 100 + "\n"}

    jsonschema_rs.validate(schema, new)
    assert api.post("/users", json=new).status_code == 201


@given(st.text(string.printable[:-4], max_size=12) | st.from_regex(r"\A(a [A-Za-z0-9+/=]*,?)*\Z"))
def test_the_pattern_of_metadata_is_what_metadata_may_be(text: str) -> None:
    pattern = openapi.PARAMETERS["Upload-Metadata"][1]["pattern"]

    with suppress(UnicodeDecodeError):  # What is not UTF-8, no pattern can tell.
        assert bool(re.search(pattern, text.strip())) == is_metadata(text)


def test_what_this_installation_cannot_do_is_not_offered(api: Api, strict: Api) -> None:
    """Its only source of questions takes no wishes."""

    def offered(api: Api) -> Any:
        return api.get("/openapi.json").json()["components"]["schemas"]["NewQuestions"][
            "properties"
        ]

    assert offered(api).keys() == offered(strict).keys() == {"questions_num"}
    assert offered(api)["questions_num"]["maximum"] == 1000
    assert offered(strict)["questions_num"]["maximum"] == 5


def test_an_upload_is_as_long_as_this_installation_takes_it(api: Api, strict: Api) -> None:
    def longest(api: Api) -> Any:
        parameters = api.get("/openapi.json").json()["components"]["parameters"]
        return parameters["Upload-Length"]["schema"]["maximum"]

    assert longest(api) == 2 << 30
    assert longest(strict) == 300_000


def test_whatever_any_request_may_meet_with_is_told(document: Any) -> None:
    told = document["info"]["description"]

    statuses = {400, 404, 405, 408, 414, 415, 429, 431, 500, 501, 503, 505}
    assert statuses <= set(map(int, re.findall(r"\b\d{3}\b", told)))
    assert "X-Request-ID" in told


def test_groups_of_operations_are_explained(document: Any) -> None:
    used = {tag for operation in operations(document).values() for tag in operation["tags"]}

    assert {tag["name"] for tag in document["tags"] if tag["description"]} == used
    assert document["info"]["license"] == {"name": "MIT", "identifier": "MIT"}


def test_wishes_that_a_source_fulfils_are_offered(tmp_path: Path) -> None:
    nowhere = {"database_url": "postgresql://127.0.0.1:1/x", "redis_url": "redis://127.0.0.1:1"}
    chosen = {"question_sources": "opentdb,bank", "data_dir": tmp_path}
    app = create_app(Settings.model_validate(nowhere | chosen))

    offered = app.openapi()["components"]["schemas"]["NewQuestions"]["properties"]
    assert {"Mythology", "Vehicles", "Plants"} < set(offered["category"]["enum"])
    assert "difficulty" in offered


def test_what_is_left_out_is_never_null(document: Any) -> None:
    schemas = document["components"]["schemas"]
    optional = {
        name: each["properties"][name]
        for each in (schemas["JobStatus"], schemas["Problem"])
        for name in each["properties"].keys() - each["required"]
    }

    assert optional.keys() == {"result", "error", "errors", "found", "checks", "sources"}
    assert not any("default" in schema for schema in optional.values())
    assert not any({"type": "null"} in schema.get("anyOf", []) for schema in optional.values())


def test_jobs_are_of_the_kinds_that_there_are_answers_of(document: Any) -> None:
    kind = document["components"]["schemas"]["JobStatus"]["properties"]["kind"]

    assert kind["enum"] == ["records.convert", "questions.collect"]


def test_addresses_are_said_to_be_such(document: Any) -> None:
    texts = [
        schema
        for each in document["components"]["schemas"].values()
        for name, schema in each.get("properties", {}).items()
        if name in {"url", "job", "next"}
    ]

    assert texts
    assert all("'format': 'uri'" in str(schema) for schema in texts)


def test_what_forms_may_leave_empty_is_told(document: Any) -> None:
    may_be_empty = {
        name: {each["name"] for each in operation["parameters"] if each.get("allowEmptyValue")}
        for name, operation in operations(document).items()
        if name in {"POST /uploads", "GET /record", "GET /records", "GET /questions"}
    }

    assert may_be_empty == {
        "POST /uploads": {"user"},
        "GET /record": {"inline"},
        "GET /records": {"after", "at"},
        "GET /questions": {"q", "category", "source", "difficulty", "format", "limit", "after"},
    }


def test_every_error_is_a_problem_object(document: Any) -> None:
    errors = {
        (name, status): response
        for name, operation in operations(document).items()
        for status, response in operation["responses"].items()
        if status >= "400" and not (name.startswith("HEAD") and "content" not in response)
    }

    assert {
        pair for pair, response in errors.items() if set(response["content"]) != {MEDIA_TYPE}
    } == set()


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("POST /users", "201 400 408 409 413 415 422 503"),
        ("POST /record", "201 202 400 401 404 408 409 410 413 415 422 429 503 507"),
        ("DELETE /record", "204 401 404 412 422 503"),
        ("GET /records", "200 401 422 503"),
        ("POST /users/{user_id}/token", "200 401 422 503"),
        ("GET /record", "200 206 304 404 409 410 412 416 422 503"),
        ("HEAD /record", "200 304 404 409 410 412 422 503"),
        ("GET /record/peaks", "200 304 404 409 410 412 422 503"),
        ("POST /uploads", "201 400 401 404 409 412 413 415 422 429 503 507"),
        ("GET /uploads/{upload_id}", "200 202 401 404 410 413 415 422 429 503 507"),
        ("PATCH /uploads/{upload_id}", "204 400 401 404 409 412 413 415 422 429 503 507"),
        ("DELETE /uploads/{upload_id}", "204 401 404 412 503"),
        ("POST /questions", "200 202 400 408 409 413 415 422 503"),
        ("GET /questions", "200 406 422 503"),
        ("GET /questions/stats", "200 503"),
        ("GET /questions/{question_id}", "200 304 404 412 503"),
        ("GET /jobs/{job_id}", "200 404 503"),
        ("GET /jobs/{job_id}/events", "200 204 404 503"),
        ("GET /health/ready", "200 503"),
    ],
)
def test_every_status_is_told(document: Any, name: str, statuses: str) -> None:
    assert set(operations(document)[name]["responses"]) == set(statuses.split())


@pytest.mark.parametrize(
    ("name", "slugs", "says_when"),
    [
        ("POST /users", {"name-taken", "idempotency-conflict"}, False),
        ("POST /uploads", {"idempotency-conflict"}, False),
        ("PATCH /uploads/{upload_id}", {"offset-conflict"}, False),
        ("GET /record", {"record-not-ready"}, True),
    ],
)
def test_conflicts_are_those_there_can_be(
    document: Any, name: str, slugs: set[str], *, says_when: bool
) -> None:
    conflict = operations(document)[name]["responses"]["409"]

    assert set(conflict["content"][MEDIA_TYPE]["examples"]) == slugs
    assert ("Retry-After" in conflict["headers"]) is says_when


@pytest.mark.parametrize(
    ("name", "media_types"),
    [
        ("POST /users", {"application/json"}),
        ("POST /questions", {"application/json"}),
        ("POST /record", {"multipart/form-data", "audio/wav"}),
        ("POST /uploads", {"application/offset+octet-stream"}),
        ("PATCH /uploads/{upload_id}", {"application/offset+octet-stream"}),
    ],
)
def test_bodies_parsed_by_hand_are_described(
    document: Any, name: str, media_types: set[str]
) -> None:
    assert set(operations(document)[name]["requestBody"]["content"]) == media_types


def test_the_docs_need_no_other_host(api: Api) -> None:
    page = api.get("/docs")

    assert page.status_code == 200
    assert set(URLS.findall(page.text)) == set()
    for path in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert api.get(path).status_code == 200
