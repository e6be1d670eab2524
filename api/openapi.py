"""The OpenAPI document: what the framework cannot know of bodies and problems."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.problems import MEDIA_TYPE, status_of
from api.schemas import Problem
from shared import errors


def complete(app: FastAPI) -> None:
    """Let the OpenAPI document speak of problems where the framework speaks of its own errors."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            _, extra = models_json_schema(
                [(Problem, "serialization")], ref_template="#/components/schemas/{model}"
            )
            document["components"]["schemas"] |= extra["$defs"]
            _forget_framework_errors(document)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def _forget_framework_errors(document: dict[str, Any]) -> None:
    """The framework adds them to whatever has parameters; here all of those are plain texts."""
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    for operation in (o for path in document["paths"].values() for o in path.values()):
        if "HTTPValidationError" in str(operation["responses"].get("422")):
            del operation["responses"]["422"]


def responses(*kinds: type[errors.QuaverError]) -> dict[int | str, dict[str, Any]]:
    """These errors as OpenAPI describes them."""
    statuses = sorted({status_of(kind) for kind in kinds})
    return {
        status.value: problem(*(kind.title for kind in kinds if status_of(kind) is status))
        for status in statuses
    }


def problem(*titles: str) -> dict[str, Any]:
    """A problem as OpenAPI describes it."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": " or ".join(titles),
        "content": {MEDIA_TYPE: {"schema": schema}},
    }


def json_body(kind: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of a body that `json_body` reads."""
    content = {"application/json": {"schema": kind.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}
