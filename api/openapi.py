"""The OpenAPI document: what the framework cannot know of bodies, headers and problems."""

from collections.abc import Collection, Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from api import explanations
from api.problems import DEFAULT_RETRY_AFTER_SECONDS, MEDIA_TYPE, Kind, kind_of
from api.schemas import LARGEST_ID, NewQuestions, NewUser, Problem
from api.tus import LONGEST_METADATA
from shared import errors, sources

BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
TEXT: dict[str, Any] = {"schema": {"type": "string"}}

_BYTES = {"type": "integer", "minimum": 0, "maximum": LARGEST_ID}
_URI = {"type": "string", "format": "uri"}
_STRING = {"type": "string"}
_DATE = {"type": "string", "description": "An HTTP date."}

_BASE64 = r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_PAIR = rf"[!-+\--~][\t!-+\--~]*( {_BASE64})?"

PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Prefer": (
        "`wait=N`: for N seconds at most; `respond-async`: not at all. RFC 7240.",
        {"type": "string", "examples": ["respond-async", "wait=10"]},
    ),
    "Range": ("A part of the MP3.", {"type": "string", "examples": ["bytes=0-1023"]}),
    "If-Match": ("ETags, of which one must be that of what is there.", _STRING),
    "If-Unmodified-Since": ("Date, after which it must not have been stored.", _STRING),
    "If-Range": ("The ETag or the date of what the part is to belong to.", _STRING),
    "If-None-Match": ("ETags of copies that the client has.", _STRING),
    "If-Modified-Since": ("Date of the client's copy.", _STRING),
    "Tus-Resumable": ("The protocol's version.", {"type": "string", "enum": ["1.0.0"]}),
    "Upload-Length": ("Bytes of the whole WAV.", _BYTES | {"minimum": 1, "examples": [882044]}),
    "Upload-Offset": ("Where the body begins.", _BYTES | {"examples": [0]}),
    "Upload-Metadata": (
        "Pairs of a key and a text in Base64 of UTF-8, of which `user` and `filename` count.",
        {
            "type": "string",
            "maxLength": LONGEST_METADATA,
            "pattern": rf"^({_PAIR})?([\t ]*,([\t ]*{_PAIR})?)*$",
            "examples": ["filename c3BlZWNoLndhdg==,user MQ=="],
        },
    ),
}
"""Headers of requests that are read by hand."""

NEEDED = {"Tus-Resumable", "Upload-Length", "Upload-Offset"}
"""Wherever they are named; all others may be left out."""

HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Accept-Ranges": ("The unit that `Range` may have.", {"type": "string", "const": "bytes"}),
    "Cache-Control": ("For how long, and by whom, this may be kept.", _STRING),
    "Content-Disposition": ("The name to save it under.", _STRING),
    "Content-Range": ("Which part of how many bytes this is.", _STRING),
    "ETag": ("Names this very content.", _STRING),
    "Idempotency-Replayed": (
        "The request's Idempotency-Key had this answer before.",
        {"type": "string", "const": "true"},
    ),
    "Last-Modified": ("When it was stored.", _DATE),
    "Link": ("A related address, such as that of the next page.", _STRING),
    "Location": ("The address of what came of the request.", _URI),
    "Preference-Applied": ("What of `Prefer` was heeded.", _STRING),
    "Referrer-Policy": ("The address is for nobody else.", _STRING),
    "Retry-After": ("Seconds to wait.", {"type": "integer", "minimum": 0}),
    "Tus-Extension": ("What else of the protocol is spoken.", _STRING),
    "Tus-Max-Size": ("Bytes of the longest upload.", _BYTES),
    "Tus-Resumable": ("The protocol's version.", _STRING),
    "Tus-Version": ("The protocol's versions that are spoken.", _STRING),
    "Upload-Expires": ("When it is deleted, unless more comes.", _DATE),
    "Upload-Length": ("Bytes of the whole WAV.", _BYTES),
    "Upload-Metadata": ("As it was sent.", _STRING),
    "Upload-Offset": ("Bytes that have come.", _BYTES),
    "Vary": ("What else of the request counts.", _STRING),
    "WWW-Authenticate": ("How to say who is asking.", _STRING),
    "X-Accel-Buffering": ("For proxies: pass events on at once.", _STRING),
    "X-Content-Type-Options": ("It is what it is said to be.", _STRING),
    "X-Request-ID": ("The client's own name for the request, or a new one.", _STRING),
    "X-Robots-Tag": ("Not for search engines.", _STRING),
}
"""Headers of answers."""

ALWAYS_THERE = {
    "Accept-Ranges",
    "ETag",
    "Last-Modified",
    "Location",
    "Tus-Resumable",
    "Tus-Version",
    "WWW-Authenticate",
    "X-Request-ID",
}
"""Wherever they are named; of the others it depends on the request."""

_RECORD = {
    "url": "http://localhost:8000/record?id=5e0c7d83-3f0b-4c0e-8a43-8c1d5f2a9b10&user=1",
    "id": "5e0c7d83-3f0b-4c0e-8a43-8c1d5f2a9b10",
    "user": 1,
    "job": "http://localhost:8000/jobs/9a31b2a4-6a0d-4f0e-9d57-0c8f2f6b7e31",
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "AcceptedRecord": _RECORD,
    "CreatedUser": {"id": 1, "token": "7f0c2d0e-5d3a-4c55-9d0a-3b0a4b6f1c2e"},
    "JobStatus": {
        "id": "9a31b2a4-6a0d-4f0e-9d57-0c8f2f6b7e31",
        "kind": "records.convert",
        "state": "running",
        "progress": 0.25,
        "attempt": 1,
        "created_at": "2026-11-23T12:00:00Z",
        "finished_at": None,
    },
    "NewQuestions": {"questions_num": 1},
    "NewUser": {"name": "Ann"},
    "Problem": {
        "type": "/problems/not-a-wav",
        "title": "Not a WAV",
        "status": 415,
        "detail": "The upload is no WAV file: it must begin with RIFF, RF64 or BW64 and WAVE.",
        "instance": "/record",
        "request_id": "c7aa3414-4dc6-4997-af4c-0bdaa1d33ef0",
    },
    "Question": {
        "id": 17,
        "question": "Which is the only mammal that can truly fly?",
        "answer": "The bat",
        "created_at": "2022-12-30T18:45:16.026000Z",
        "saved_at": "2026-11-23T12:00:00Z",
        "source": "jservice",
        "source_id": "18663",
        "category": "animals",
    },
    "StoredRecord": _RECORD | {"duration": 10.0, "size": 240123, "filename": "speech.mp3"},
}
"""What bodies look like."""

PATH_EXAMPLES = {
    "job_id": "9a31b2a4-6a0d-4f0e-9d57-0c8f2f6b7e31",
    "question_id": 17,
    "upload_id": "5e0c7d83-3f0b-4c0e-8a43-8c1d5f2a9b10",
    "user_id": 1,
}

TAGS = {
    "users": "Who adds recordings: a name, an id, and a token.",
    "records": "A WAV in, at once or over many requests; a link to its MP3 out.",
    "questions": "N new quiz questions in; the previous one, or all of them, out.",
    "jobs": "How the work is doing that an answer did not wait for.",
    "health": "For whoever runs the service.",
}

GENERAL = """
Every answer has an `X-Request-ID`: the request's own, if it has one of 1 to 128 letters, digits,
`.`, `_` or `-`, else a new one. The logs know a request and its jobs by it.

Whatever goes wrong is `application/problem+json` (RFC 9457), of which `type` is the address of [a
page that explains it](problems). Beside what each operation names, any
request may be answered with 400 if it cannot be parsed, 404, 405, 408 if its headers do not come,
414 or 431 if they are too long, 415 if it has a `Content-Encoding`, 429 or 503 if there are too
many, 501 if it is sent in a coding other than `chunked`, 505 if it is not of HTTP/1.0 or 1.1, and
500 for a mistake of ours.
"""


def complete(
    app: FastAPI, *, most_bytes: int, most_questions: int, question_sources: Collection[str]
) -> None:
    """Let the document speak of problems where the framework speaks of its own errors, and of what
    this installation allows.
    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            _add_components(document)
            _forget_framework_errors(document)
            _name_common_headers(document)
            _say_how_parameters_look(document)
            _give_examples_of_problems(document)
            _limit_uploads(document, most_bytes)
            _limit_questions(document, most_questions, question_sources)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def _add_components(document: dict[str, Any]) -> None:
    by_hand: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (kind, "validation") for kind in (NewQuestions, NewUser, Problem)
    ]
    _, extra = models_json_schema(by_hand, ref_template="#/components/schemas/{model}")
    components = document["components"]
    components["schemas"] |= extra["$defs"]
    for name, example in EXAMPLES.items():
        components["schemas"][name]["examples"] = [example]
    components["parameters"] = {
        name: {
            "name": name,
            "in": "header",
            "required": name in NEEDED,
            "description": description,
            "schema": schema,
        }
        for name, (description, schema) in PARAMETERS.items()
    }
    components["headers"] = {
        name: {"description": description, "required": name in ALWAYS_THERE, "schema": schema}
        for name, (description, schema) in HEADERS.items()
    }
    components["securitySchemes"] = {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "The token that POST /users answered with.",
        }
    }


def _forget_framework_errors(document: dict[str, Any]) -> None:
    """The framework adds them to whatever has parameters, also where anything will do."""
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    for operation in operations(document):
        if "HTTPValidationError" in str(operation["responses"].get("422")):
            del operation["responses"]["422"]


def _name_common_headers(document: dict[str, Any]) -> None:
    for operation in operations(document):
        for response in operation["responses"].values():
            response["headers"] = response.get("headers", {}) | headers("X-Request-ID")


def _say_how_parameters_look(document: dict[str, Any]) -> None:
    """What is not sent is null in here, which cannot be sent, or an empty text, which is as good as
    nothing in a query.
    """
    for operation in operations(document):
        for parameter in operation.get("parameters", []):
            schema = parameter.get("schema", {})
            schema |= schema.pop("anyOf", [{}])[0]
            if not schema.get("default"):
                schema.pop("default", None)
                if parameter.get("in") == "query" and not parameter["required"]:
                    parameter["allowEmptyValue"] = True
            schema.pop("description", None)
            schema.pop("title", None)


def _give_examples_of_problems(document: dict[str, Any]) -> None:
    known = explanations.everything()
    for path, described in document["paths"].items():
        instance = path.format_map(PATH_EXAMPLES)
        for operation in described.values():
            for response in operation["responses"].values():
                content = response.get("content", {}).get(MEDIA_TYPE, {})
                for slug, example in content.get("examples", {}).items():
                    example["value"] = known[slug].example(instance)


def _limit_uploads(document: dict[str, Any], most_bytes: int) -> None:
    length = document["components"]["parameters"]["Upload-Length"]
    length["schema"] = length["schema"] | {"maximum": most_bytes}


def _limit_questions(document: dict[str, Any], most: int, names: Collection[str]) -> None:
    """Those of these sources can be asked for."""
    properties = document["components"]["schemas"]["NewQuestions"]["properties"]
    properties["questions_num"]["maximum"] = most
    facts = [sources.KNOWN[name] for name in names]
    categories = sorted({category for each in facts for category in each.categories})
    if categories:
        description = properties["category"]["description"]
        properties["category"] = {
            "type": "string",
            "enum": categories,
            "description": description,
        }
    else:
        del properties["category"]
    if not any(each.tells_difficulty for each in facts):
        del properties["difficulty"]


def operations(document: dict[str, Any]) -> Iterable[dict[str, Any]]:
    return (operation for path in document["paths"].values() for operation in path.values())


def responses(*kinds: type[errors.QuaverError]) -> dict[int | str, dict[str, Any]]:
    """These errors as OpenAPI describes them."""
    found = [kind_of(kind) for kind in kinds]
    return {
        status.value: problem(*(kind for kind in found if kind.status is status))
        for status in sorted({kind.status for kind in found})
    }


def problem(*kinds: Kind) -> dict[str, Any]:
    """Problems of the same status as OpenAPI describes them."""
    status = kinds[0].status
    names = []
    if status is HTTPStatus.UNAUTHORIZED:
        names = ["WWW-Authenticate"]
    elif status in DEFAULT_RETRY_AFTER_SECONDS or kind_of(errors.RecordNotReady) in kinds:
        names = ["Retry-After"]
    # Their values are added once the address is known.
    examples = {kind.slug: {"summary": kind.title} for kind in kinds}
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": " or ".join(kind.title for kind in kinds),
        "content": {MEDIA_TYPE: {"schema": schema, "examples": examples}},
        "headers": headers(*names),
    }


def headers(*names: str) -> dict[str, Any]:
    """Of an answer, as OpenAPI refers to them."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def link(operation_id: str, description: str, **parameters: str) -> dict[str, Any]:
    """From an answer to an operation that takes something out of it."""
    return {
        operation_id: {
            "operationId": operation_id,
            "description": description,
            "parameters": parameters,
        }
    }


def asks(
    *names: str,
    body: dict[str, Any] | None = None,
    body_is_required: bool = True,
    token: bool = False,
    token_is_required: bool = True,
) -> dict[str, Any]:
    """What a request takes that is read by hand: these headers, these kinds of body, a token."""
    asked: dict[str, Any] = {}
    if names:
        asked["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in names]
    if body is not None:
        asked["requestBody"] = {"required": body_is_required, "content": body}
    if token:
        asked["security"] = [{"token": []}] if token_is_required else [{"token": []}, {}]
    return asked


def json_body(kind: type[BaseModel]) -> dict[str, Any]:
    """The kind of body that `dependencies.json_body` reads."""
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}
