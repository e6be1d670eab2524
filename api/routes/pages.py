"""What is there for people with a browser: the pages that explain problems."""

import json
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from api import explanations
from shared import errors

router = APIRouter(include_in_schema=False)

HEADERS = {
    "Cache-Control": "public, max-age=3600",
    # Whatever a page shows, it can load nothing from elsewhere, and say nothing to others.
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

_CODE = Markup("<code>{}</code>")

_templates = Jinja2Templates(
    env=Environment(
        loader=FileSystemLoader(Path(__file__).parents[1] / "templates"),
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
