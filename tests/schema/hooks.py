"""What Schemathesis cannot read in the document: who is asking, and what a WAV is."""

import json
import os
import re
from http import HTTPStatus
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis import (
    AuthContext,
    Case,
    CheckContext,
    DeserializationContext,
    HookContext,
    Response,
)

from tests.audio import make_wav

USER = int(os.environ["QUAVER_USER"])
token = os.environ["QUAVER_TOKEN"]
recording = ""
"""Id of the last one that was added, if any was."""

WAV = make_wav(0.1)
HALF = WAV[: len(WAV) // 2]
"""Twice this is a WAV too: its second half is nothing but samples."""
TUS = "application/offset+octet-stream"

LOCATIONS = [
    ("/uploads", "201", "/uploads/{upload_id}", "upload_id"),
    ("/record", "202", "/jobs/{job_id}", "job_id"),
    ("/questions", "202", "/jobs/{job_id}", "job_id"),
]
"""Where a `Location` is answered, with which status, and whose address it is."""

HOP_BY_HOP = {"connection", "content-length", "content-type", "date", "server", "transfer-encoding"}
"""Headers of which an OpenAPI document is not to speak, or which belong to the connection."""

wavs = st.builds(
    make_wav,
    st.sampled_from([0.01, 0.1, 0.5]),
    channels=st.integers(1, 2),
    sample_rate_hz=st.sampled_from([8_000, 44_100, 96_000]),
)

schemathesis.openapi.media_type("audio/wav", wavs)
schemathesis.openapi.media_type(TUS, st.just(HALF))


def is_number(value: object) -> bool:
    return re.fullmatch("[0-9]+", str(value)) is not None


def is_uuid(value: object) -> bool:
    return re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(value)) is not None


@schemathesis.hook
def before_load_schema(_: HookContext, document: dict[str, Any]) -> None:
    """Follow addresses too, out of which the links of OpenAPI cannot take an id.

    An upload is gone on with from where it has come.
    """
    for path, status, target, name in LOCATIONS:
        links = document["paths"][path]["post"]["responses"][status].setdefault("links", {})
        found = f"$response.header.Location#regex:{target.partition('{')[0]}(.+)"
        for method in document["paths"][target].keys() - {"options"}:
            to = document["paths"][target][method]["operationId"]
            parameters = {name: found}
            if method == "patch":
                parameters["Upload-Offset"] = "$response.header.Upload-Offset"
            links[to] = {"operationId": to, "parameters": parameters}
    # To draw a text of this very length by its pattern takes longer than all other requests.
    document["components"]["parameters"]["Upload-Metadata"]["schema"].pop("maxLength")


@schemathesis.hook
def map_query(context: HookContext, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """Whoever could be a user is the one whom the service knows, and whatever could have a waveform
    is a recording that is there.
    """
    if query and is_number(query.get("user")):
        query["user"] = USER
    if query and recording and is_uuid(query.get("id")) and _is_of(context, "/record/peaks"):
        query["id"] = recording
    return query


def _is_of(context: HookContext, path: str) -> bool:
    return context.operation is not None and context.operation.path == path


@schemathesis.hook
def map_body(_: HookContext, body: Any) -> Any:
    """The same for forms."""
    if isinstance(body, dict) and "file" in body:
        for name, known in (("user", USER), ("token", token)):
            if type(body.get(name)) is type(known):
                body[name] = known
    return body


@schemathesis.hook
def map_headers(_: HookContext, headers: dict[str, Any] | None) -> dict[str, Any] | None:
    """The length of an upload is that of what is uploaded."""
    if headers and is_number(headers.get("Upload-Length")):
        headers["Upload-Length"] = str(len(WAV))
    return headers


@schemathesis.hook
def map_case(_: HookContext, case: Case[Any]) -> Case[Any]:
    """To a JSON schema 26.0 is an integer, to the service it is none."""
    body: Any = case.body
    if isinstance(body, dict) and isinstance(body.get("questions_num"), float):
        case.body = body | {"questions_num": int(body["questions_num"])}
    return case


@schemathesis.auth(refresh_interval=None)
class Token:
    """The user's, as a Bearer header."""

    def get(self, _case: Case[Any], _context: AuthContext) -> str:
        return token

    def set(self, case: Case[Any], data: str, _context: AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def after_call(_: HookContext, case: Case[Any], response: Response) -> None:
    """The user's token is replaced sooner or later, and recordings are added."""
    global recording, token  # noqa: PLW0603 - Hooks have nothing else in common.
    if response.status_code == HTTPStatus.CREATED and case.path == "/record":
        recording = response.json()["id"]
    if response.status_code == HTTPStatus.OK and case.path == "/users/{user_id}/token":
        token = response.json()["token"]


@schemathesis.deserializer("application/jsonl", "application/x-ndjson")
def read_lines(_: DeserializationContext, response: Response) -> list[Any]:
    return [json.loads(line) for line in response.content.splitlines()]


@schemathesis.check
def every_header_is_described(_: CheckContext, response: Response, case: Case[Any]) -> None:
    described = case.operation.responses.find_by_status_code(response.status_code)
    if described is not None:
        names = {name.lower() for name, _ in described.headers.items()}
        assert set(response.headers) - HOP_BY_HOP <= names
