"""A client that a program wrote after /openapi.json, and no person."""

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests import audio, jservice, schema
from tests.stack import Api

WAV = audio.make_wav(1)
GENERATOR = Path(sys.executable).with_name("openapi-python-client")
SETTINGS = Path(schema.__file__).with_name("client.yml")


class Client:
    """The generated modules by their names: `client.of("records.add_record")`."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.models = self._import("models")
        self.file = self._import("types").File

    def _import(self, name: str) -> ModuleType:
        return importlib.import_module(f"{self.name}.{name}")

    def call(self, operation: str, api: Api, token: str = "", **arguments: Any) -> Any:
        """What the operation says, as an object of the client's own."""
        return self.answer(operation, api, token, **arguments).parsed

    def answer(self, operation: str, api: Api, token: str = "", **arguments: Any) -> Any:
        """The same with its status and headers."""
        module = self._import("client")
        caller = module.AuthenticatedClient(api.url, token) if token else module.Client(api.url)
        with caller:
            return self._import(f"api.{operation}").sync_detailed(client=caller, **arguments)


@pytest.fixture(scope="module")
def client(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("generated")
    target = folder / "quaver_client"
    command = [str(GENERATOR), "generate", "--url", f"{api.url}/openapi.json", "--meta", "none"]
    done = subprocess.run(
        [*command, "--config", str(SETTINGS), "--output-path", str(target), "--fail-on-warning"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield Client(target)


@pytest.fixture(scope="module")
def user(client: Client, api: Api) -> Any:
    created = client.call("users.create_user", api, body=client.models.NewUser("Genevieve"))
    assert isinstance(created, client.models.CreatedUser)
    return created


def test_it_uploads_a_form_and_downloads_the_mp3(client: Client, api: Api, user: Any) -> None:
    file = client.file(BytesIO(WAV), "speech.wav", "audio/wav")
    form = client.models.AddRecordFilesBody(file, user=user.id, token=user.token)

    stored = client.call("records.add_record", api, body=form)
    mp3 = client.call("records.download_record", api, id=stored.id, user=stored.user)

    assert stored.filename == "speech.mp3"
    assert audio.decoded(mp3.payload.read(), channels=2).shape == (44_100, 2)


def test_it_reads_the_events_of_a_job(client: Client, api: Api, user: Any) -> None:
    file = client.file(BytesIO(WAV), "speech.wav", "audio/wav")
    form = client.models.AddRecordFilesBody(file, user=user.id, token=user.token)
    stored = client.call("records.add_record", api, body=form)

    events = client.call("jobs.watch_job", api, job_id=stored.job.rpartition("/")[2])

    (event,) = re.findall("^data: (.*)$", events, re.MULTILINE)
    assert json.loads(event)["result"] == stored.to_dict()


def test_it_uploads_plain_bytes_lists_and_deletes(client: Client, api: Api, user: Any) -> None:
    token, mine = str(user.token), {"user": user.id}

    stored = client.call("records.add_record", api, token, body=client.file(BytesIO(WAV)), **mine)
    page = client.call("records.list_records", api, token, **mine)
    client.call("records.delete_record", api, token, id=stored.id, **mine)
    gone = client.call("records.download_record", api, id=stored.id, **mine)

    assert page.items[0].id == stored.id
    assert isinstance(gone, client.models.Problem)
    assert gone.type_ == "/problems/record-not-found"


def test_it_resumes_an_upload(client: Client, api: Api, user: Any) -> None:
    token, half = str(user.token), len(WAV) // 2
    begin, rest = client.file(BytesIO(WAV[:half])), client.file(BytesIO(WAV[half:]))
    tus = {"tus_resumable": "1.0.0"}

    begun = client.answer(
        "records.begin_upload",
        api,
        token,
        body=begin,
        user=user.id,
        upload_length=len(WAV),
        **tus,
    )
    upload_id = begun.headers["location"].rpartition("/")[2]
    unfinished = client.call("records.show_upload", api, token, upload_id=upload_id)
    client.call(
        "records.go_on_with_upload",
        api,
        token,
        upload_id=upload_id,
        body=rest,
        upload_offset=unfinished.offset,
        **tus,
    )
    stored = client.call("records.show_upload", api, token, upload_id=upload_id)

    assert unfinished.offset == half
    assert stored.duration == 1


def test_it_asks_for_questions(client: Client, api: Api, questions: jservice.JService) -> None:
    questions.behave = schema.serve_new
    wanted = client.models.NewQuestions(3)

    before = client.call("questions.store_questions", api, body=wanted)
    previous = client.call("questions.store_questions", api, body=wanted)
    page = client.call("questions.list_questions", api)

    assert isinstance(before, client.models.Nothing)
    assert previous.id == page.items[3].id
