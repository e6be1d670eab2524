"""What is there for people with a browser."""

import re
import tomllib
from html import unescape
from http import HTTPStatus

import httpx
import jsonschema_rs
import pytest

from api import explanations, problems
from api.explanations import TEXTS
from shared import errors
from tests.api.problems import problem
from tests.stack import Api

SLUGS = [kind.slug for kind in problems.kinds()]


def targets(page: httpx.Response) -> set[str]:
    """Where a page leads to, and what it is made of."""
    found = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    return {str(page.url.join(unescape(target))) for target in found}


def test_there_is_a_text_for_every_kind_of_problem_and_no_other() -> None:
    assert tomllib.loads(TEXTS.read_text()).keys() == set(SLUGS)


@pytest.mark.parametrize("slug", SLUGS)
def test_the_type_of_every_problem_leads_to_a_page_that_explains_it(api: Api, slug: str) -> None:
    page = api.get(explanations.everything()[slug].kind.uri)

    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert f'"type": "/problems/{slug}"' in unescape(page.text)
    for text in explanations.everything()[slug].causes:
        assert text.replace("`", "") in unescape(re.sub("</?code>", "", page.text))


def test_a_page_says_which_operations_meet_with_its_problem(api: Api) -> None:
    page = api.get("/problems/job-not-found").text

    assert "<code>GET /jobs/{job_id}/events</code>" in page
    assert "/record" not in page


def test_all_problems_are_listed(api: Api) -> None:
    assert {f"{api.url}/problems/{slug}" for slug in SLUGS} < targets(api.get("/problems"))


@pytest.mark.parametrize("path", ["/", "/problems", "/problems/not-a-wav"])
def test_every_link_of_a_page_leads_somewhere(api: Api, path: str) -> None:
    here = {target for target in targets(api.get(path)) if target.startswith(api.url)}

    assert {f"{api.url}/", f"{api.url}/docs"} < here
    assert {api.get(target).status_code for target in here} == {200}


def test_pages_bring_along_all_that_they_need(api: Api) -> None:
    page = api.get("/problems/not-a-wav")
    stylesheet = api.get(f"{api.url}/web/style.css")

    assert page.headers["content-security-policy"].startswith("default-src 'self';")
    assert stylesheet.headers["content-type"] == "text/css; charset=utf-8"
    assert str(stylesheet.url) in targets(page)
    assert "url(" not in stylesheet.text


@pytest.mark.parametrize("path", ["/", "/problems", "/problems/not-a-wav"])
def test_the_head_of_a_page_can_be_had_alone(api: Api, path: str) -> None:
    head = api.client.head(path)

    assert head.status_code == 200
    assert head.headers["content-length"] == str(len(api.get(path).content))
    assert head.content == b""


@pytest.mark.parametrize(
    "path", ["/problems/none", "/problems/", "/web/../templates/page.html", "/web/"]
)
def test_other_pages_are_not_found(api: Api, path: str) -> None:
    assert problem(api.get(path)) == (404, "not-found")


def test_what_means_no_more_than_its_status_has_no_page() -> None:
    described = problems.of_http(HTTPStatus.IM_A_TEAPOT, "No.", instance="/", request_id="1")

    assert described["type"] == "about:blank"
    assert described["title"] == "I'm a Teapot"


def test_examples_are_problem_objects_that_the_document_has(api: Api) -> None:
    document = api.get("/openapi.json").json()
    schema = document["components"]["schemas"]["Problem"] | {"components": document["components"]}
    found = {
        slug: example
        for slug, each in explanations.everything().items()
        for example in explanations.examples_in(document, each.kind).values()
    }

    assert found.keys() >= {kind.slug for kind in errors.QuaverError.kinds()}
    for slug, example in found.items():
        assert example["type"] == f"/problems/{slug}"
        jsonschema_rs.validate(schema, example)
