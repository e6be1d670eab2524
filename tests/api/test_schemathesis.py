"""The service does what /openapi.json says; all of it: `make schema`."""

from pathlib import Path

import pytest

from tests import jservice, schema
from tests.stack import Api


@pytest.mark.usefixtures("nothing_left")
def test_schemathesis_finds_nothing(api: Api, questions: jservice.JService, tmp_path: Path) -> None:
    questions.behave = schema.serve_new

    found = schema.run(api.new_user(), tmp_path, "--max-examples", "10", "--seed", "1")

    assert found.returncode == 0, found.stdout + found.stderr
    assert "28 selected / 28 total" in found.stdout
