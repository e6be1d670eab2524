"""Errors as users see them: the one table from errors to HTTP statuses, and RFC 9457 bodies."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from shared import errors

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

STATUSES: dict[type[errors.QuaverError], HTTPStatus] = {
    errors.InvalidCredentials: HTTPStatus.UNAUTHORIZED,
    errors.MalformedRequest: HTTPStatus.BAD_REQUEST,
    errors.InvalidRequest: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.NameTaken: HTTPStatus.CONFLICT,
    errors.RecordNotReady: HTTPStatus.CONFLICT,
    errors.IdempotencyConflict: HTTPStatus.CONFLICT,
    errors.OffsetConflict: HTTPStatus.CONFLICT,
    errors.UnsupportedTusVersion: HTTPStatus.PRECONDITION_FAILED,
    errors.ConversionFailed: HTTPStatus.GONE,
    errors.UploadTooSlow: HTTPStatus.REQUEST_TIMEOUT,
    errors.UploadTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    errors.UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.InvalidWav: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.StorageFull: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""A class stands for its subclasses too."""

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

HTTP_TITLES = {
    HTTPStatus.BAD_REQUEST: errors.MalformedRequest.title,
    HTTPStatus.METHOD_NOT_ALLOWED: "Method not allowed",
    HTTPStatus.NOT_ACCEPTABLE: "Not acceptable",
    HTTPStatus.REQUEST_TIMEOUT: "Request timeout",
    HTTPStatus.PRECONDITION_FAILED: "Precondition failed",
    HTTPStatus.REQUEST_URI_TOO_LONG: "URI too long",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "Range not satisfiable",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "Request header fields too large",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Internal error",
    HTTPStatus.NOT_IMPLEMENTED: "Not implemented",
    HTTPStatus.SERVICE_UNAVAILABLE: "Service unavailable",
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: "HTTP version not supported",
}
"""The slugs follow from them. Python's own names differ from release to release."""

DEFAULT_RETRY_AFTER_SECONDS = {
    HTTPStatus.SERVICE_UNAVAILABLE: 5,
    HTTPStatus.TOO_MANY_REQUESTS: 5,
    HTTPStatus.INSUFFICIENT_STORAGE: 60,
}


def status_of(kind: type[errors.QuaverError]) -> HTTPStatus:
    """Raises LookupError when neither the class nor an ancestor is in the table."""
    for ancestor in kind.__mro__:
        if ancestor in STATUSES:
            return STATUSES[ancestor]
    raise LookupError(f"{kind.__name__} has no HTTP status")


class Kind(NamedTuple):
    """What the `type` of a problem names."""

    slug: str
    title: str
    status: HTTPStatus

    @property
    def uri(self) -> str:
        """An address of this service, with a page that explains it (`api/explanations.py`).

        For what means no more than its status there is none: RFC 9457, 4.2.1.
        """
        return f"/problems/{self.slug}" if self.slug else "about:blank"


def kind_of(error: type[errors.QuaverError]) -> Kind:
    """Raises: LookupError, as `status_of`."""
    return Kind(error.slug, error.title, status_of(error))


def kind_of_http(status: HTTPStatus) -> Kind:
    """Of what HTTP knows and no class of ours."""
    title = HTTP_TITLES.get(status, "")
    return Kind(title.lower().replace(" ", "-"), title or status.phrase, status)


def kinds() -> list[Kind]:
    """All there are, by their statuses."""
    ours = {kind.slug: kind for kind in map(kind_of, errors.QuaverError.kinds())}
    https = {kind.slug: kind for kind in map(kind_of_http, HTTP_TITLES)}
    return sorted((https | ours).values(), key=lambda kind: kind.status)


def describe(error: errors.QuaverError, request: Request) -> dict[str, Any]:
    """The problem object of an error."""
    kind = kind_of(type(error))
    problem = _object(kind, error.detail, request.url.path, request_id(request))
    return problem | error.members


def of_http(status: HTTPStatus, detail: str, *, instance: str, request_id: str) -> dict[str, Any]:
    """The problem object of an error that HTTP knows and no class here."""
    return _object(kind_of_http(status), detail, instance, request_id)


def _object(kind: Kind, detail: str, instance: str, request_id: str) -> dict[str, Any]:
    return {
        "type": kind.uri,
        "title": kind.title,
        "status": kind.status.value,
        "detail": detail,
        "instance": instance,
        "request_id": request_id,
    }


def install(app: FastAPI) -> None:
    """Answer everything that goes wrong in `app` with a problem object."""

    @app.exception_handler(errors.QuaverError)
    async def _(request: Request, error: errors.QuaverError) -> JSONResponse:
        status = status_of(type(error))
        headers = dict(getattr(request.state, "said", {}))
        retry_after = error.retry_after_seconds or DEFAULT_RETRY_AFTER_SECONDS.get(status)
        if retry_after:
            headers["Retry-After"] = str(retry_after)
        if status is HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = 'Bearer realm="quaver"'
        return _response(describe(error, request), headers)

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> JSONResponse:
        return _response(describe(invalid(error), request))

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> JSONResponse:
        """What the framework refuses by itself: unknown paths, wrong methods."""
        status = HTTPStatus(error.status_code)
        if status is HTTPStatus.NOT_FOUND:
            return _response(describe(errors.NotFound(), request))
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            error = _method_not_allowed(request)
        problem = of_http(
            status, error.detail, instance=request.url.path, request_id=request_id(request)
        )
        return _response(problem, error.headers)

    @app.exception_handler(Exception)
    async def _(request: Request, error: Exception) -> JSONResponse:
        """A mistake in this program: the log has it, with the request's id; the user has the id."""
        key = request_id(request)
        log.error("a mistake of ours", exc_info=error)
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        detail = "The service made a mistake. Tell its operator the request_id."
        problem = of_http(status, detail, instance=request.url.path, request_id=key)
        # This answer passes by the middleware that gives all others their id.
        return _response(problem, {"X-Request-ID": key})


def invalid(error: ValidationError | RequestValidationError) -> errors.InvalidRequest:
    """Pydantic's findings as one error that names every field."""
    found = [
        {
            "pointer": "#" + "".join(f"/{part}" for part in e["loc"]),
            "detail": e["msg"].removeprefix("Value error, "),
        }
        for e in error.errors()
    ]
    summary = "; ".join(f"{item['pointer'].removeprefix('#/')}: {item['detail']}" for item in found)
    return errors.InvalidRequest(f"{summary}.", errors=found)


def say(request: Request, headers: Mapping[str, str]) -> None:
    """Have these headers with the answer if it is an error that is yet to come."""
    request.state.said = headers


def request_id(request: Request) -> str:
    return str(request.scope.get("request_id", ""))


def _method_not_allowed(request: Request) -> HTTPException:
    """The framework names the methods of the first route only that has this path."""
    # The one that was refused may have a route, which takes it on a condition.
    others = (method for method in METHODS if method != request.method)
    allowed = ", ".join(method for method in others if _has_route(request, method))
    # Below a mount no route matches any more: those are the files of /docs.
    allowed = allowed or "GET, HEAD"
    detail = f"{request.url.path} takes {allowed}, not {request.method}."
    return HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, detail, {"Allow": allowed})


def _has_route(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)


def _response(problem: dict[str, Any], headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(problem, problem["status"], headers, media_type=MEDIA_TYPE)
