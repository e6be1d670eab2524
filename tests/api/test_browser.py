"""The page at /, and what only a browser does, in a real one: Chromium."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests import audio, jservice, schema
from tests.stack import Api, User

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

NAME = 'Речь "1" 🎤'
PATIENCE_MS = 30_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A new visitor's; whatever its scripts do wrong, or its Content-Security-Policy forbids."""
    faults: list[str] = []
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())
    yield page
    context.close()
    assert faults == []


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / f"{NAME}.wav"
    path.write_bytes(audio.make_wav(3))
    return path


def enter(page: Page, api: Api, user: User) -> None:
    page.goto(api.url)
    page.get_by_text("I have been here before").click()
    page.get_by_label("Id").fill(str(user.id))
    page.get_by_label("Token").fill(user.token)
    page.get_by_role("button", name="Go on").click()
    page.locator("#drop").wait_for()


def choose(page: Page, *files: Path) -> None:
    page.locator("#drop input").set_input_files(list(files))


def test_a_visitor_sends_a_wav_and_downloads_its_mp3(page: Page, api: Api, wav: Path) -> None:
    page.goto(api.url)
    page.get_by_label("Your name").fill("Vera")
    page.get_by_role("button", name="Begin").click()
    page.locator("#drop").wait_for()
    choose(page, wav)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()

    assert download.value.suggested_filename == f"{NAME}.mp3".replace('"', "_")
    mp3 = download.value.path().read_bytes()
    assert audio.decoded(mp3, channels=2).shape == (3 * 44_100, 2)


def test_what_is_no_wav_is_explained(page: Page, api: Api, tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(b"ID3")

    enter(page, api, api.new_user())
    choose(page, path)
    expect(page.locator(".trouble:visible")).to_contain_text("The upload is no WAV file")
    page.get_by_role("link", name="More about it").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Not a WAV")


def test_recordings_are_there_again_until_they_are_deleted(page: Page, api: Api) -> None:
    user = api.new_user()
    assert user.upload(audio.make_wav(1), filename="kept.wav").status_code == 201
    enter(page, api, user)
    page.reload()

    expect(page.locator(".card")).to_contain_text("kept.mp3")
    page.get_by_role("button", name="Delete").click()
    expect(page.locator(".card")).to_have_count(0)
    assert api.get("/records", params={"user": user.id}, headers=user.headers).json()["items"] == []


def test_an_upload_waits_for_a_broken_line(page: Page, api: Api, wav: Path) -> None:
    enter(page, api, api.new_user())
    with page.expect_event("requestfailed"):
        page.context.set_offline(True)
        choose(page, wav)
    page.context.set_offline(False)

    expect(page.get_by_role("link", name="Download")).to_be_visible(timeout=PATIENCE_MS)


def test_a_wrong_token_is_told_so(page: Page, api: Api) -> None:
    page.goto(api.url)
    page.get_by_text("I have been here before").click()
    page.get_by_label("Id").fill("1")
    page.get_by_label("Token").fill("none")
    page.get_by_role("button", name="Go on").click()

    expect(page.locator("#sign-in .trouble")).to_contain_text("The user or the token is wrong")


def test_a_token_is_replaced(page: Page, api: Api) -> None:
    user = api.new_user()
    enter(page, api, user)
    page.get_by_text("Token, and the same with curl").click()
    page.get_by_role("button", name="Replace the token").click()
    expect(page.locator("[data-curl]")).not_to_contain_text(user.token)

    shown = page.locator("[data-curl]").inner_text()
    token = shown.partition("token=")[2].partition(" ")[0]
    assert api.get(f"/records?user={user.id}", headers=user.headers).status_code == 401
    bearer = {"Authorization": f"Bearer {token}"}
    assert api.get(f"/records?user={user.id}", headers=bearer).status_code == 200


@pytest.mark.parametrize("kind", ["api", "hasty"])
def test_questions_are_stored_and_the_previous_one_is_shown(
    page: Page, kind: str, questions: jservice.JService, request: pytest.FixtureRequest
) -> None:
    """Also where links have another name than the page, and the answer is a job."""
    questions.behave = schema.serve_new
    page.goto(request.getfixturevalue(kind).url)
    store = page.get_by_role("button", name="Store new ones")

    store.click()
    expect(page.locator("#collected")).to_have_text("1 stored. There was none before.")
    page.get_by_label("How many?").fill("2")
    store.click()
    expect(page.locator("#collected")).to_have_text("2 stored. The newest until then was:")
    expect(page.locator("#previous li")).to_have_count(1)
    expect(page.locator("#stored li")).to_have_count(3)


def test_too_many_questions_are_told_so(
    page: Page, strict: Api, questions: jservice.JService
) -> None:
    page.goto(strict.url)
    page.get_by_label("How many?").fill("6")
    page.get_by_role("button", name="Store new ones").click()

    expect(page.locator("#questions-trouble")).to_contain_text("questions_num: must be at most 5")


def test_form_data_is_understood(page: Page, alice: User) -> None:
    page.goto(f"{alice.api.url}/problems")

    answer = page.evaluate(
        """async ({ fields, name, bytes }) => {
            const form = new FormData();
            form.append("file", new File([new Uint8Array(bytes)], name));
            Object.entries(fields).forEach(([name, value]) => form.append(name, value));
            return (await fetch("record", { method: "POST", body: form })).json();
        }""",
        {"fields": alice.fields, "name": f"{NAME}.wav", "bytes": [*audio.make_wav(0.1)]},
    )

    assert answer["filename"] == f"{NAME}.mp3"
    assert answer["duration"] == 0.1
