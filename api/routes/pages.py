"""What is there for people with a browser: the page at /, and those that explain problems."""

import json
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from api import explanations
from shared import errors

router = APIRouter(include_in_schema=False)

API = Path(__file__).parents[1]

HEADERS = {
    "Cache-Control": "no-cache",  # Asked for again each time: all parts are of one release.
    # Whatever a page shows, it can load nothing from elsewhere, and say nothing to others.
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Assets(StaticFiles):
    """What pages are made of."""

    def __init__(self) -> None:
        super().__init__(directory=API / "web")

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update(HEADERS)
        return response


_CODE = Markup("<code>{}</code>")

_templates = Jinja2Templates(
    env=Environment(
        loader=FileSystemLoader(API / "templates"),
        autoescape=True,
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
)


def _with_code(text: str) -> Markup:
    """What is between backticks as code; all of it escaped."""
    pieces = enumerate(text.split("`"))
    return Markup().join(_CODE.format(piece) if n % 2 else piece for n, piece in pieces)


_templates.env.filters["with_code"] = _with_code


@router.api_route("/", methods=["GET", "HEAD"])
async def show_start(request: Request) -> Response:
    """Where recordings are sent and questions stored without a line of code."""
    return _page(request, "index.html", to_root="")


@router.api_route("/problems", methods=["GET", "HEAD"])
async def list_problems(request: Request) -> Response:
    """All that can go wrong."""
    return _page(request, "problems.html", to_root="", all=explanations.everything().values())


@router.api_route("/problems/{slug}", methods=["GET", "HEAD"])
async def explain_problem(request: Request, slug: str) -> Response:
    """What the `type` of a problem leads to. Raises: NotFound."""
    it = explanations.everything().get(slug)
    if it is None:
        raise errors.NotFound("There is no such kind of problem; /problems lists them all.")
    examples = explanations.examples_in(request.app.openapi(), it.kind)
    best = (each for each in examples.values() if it.is_sample_of(each["instance"]))
    return _page(
        request,
        "problem.html",
        to_root="../",
        it=it,
        example=json.dumps(next(best, it.example("/nowhere")), indent=2, ensure_ascii=False),
        operations=list(examples),
    )


def _page(request: Request, template: str, **context: Any) -> Response:
    return _templates.TemplateResponse(request, template, context, headers=HEADERS)
