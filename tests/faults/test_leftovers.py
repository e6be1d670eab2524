"""Each kind of leftover is seen."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from sqlalchemy import create_engine, make_url, text

from shared import signals
from shared.database import Database
from tests.faults import leftovers
from worker.sweep import STALE_SECONDS

AT_ONCE = 0.0


@contextmanager
def process(data: Path, script: str) -> Iterator[psutil.Process]:
    """One of the product's, as far as its environment tells; `script` ends by saying so."""
    command = [sys.executable, "-c", f"{script}\nprint(flush=True); input()"]
    environment = {**os.environ, "DATA_DIR": str(data)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as started:
        assert started.stdout is not None
        started.stdout.readline()
        yield psutil.Process(started.pid)
        started.kill()


def test_an_upload_of_an_ended_job_is_seen(tmp_path: Path) -> None:
    record_id = str(uuid4())
    (tmp_path / record_id).touch()

    of_open_job = [*leftovers.uploads(tmp_path, [], patience_seconds=AT_ONCE)]
    of_ended_job = [*leftovers.uploads(tmp_path, [record_id], patience_seconds=AT_ONCE)]

    assert of_open_job == []
    assert "uploads of ended jobs are left" in str(*of_ended_job)


def test_an_abandoned_upload_is_seen(tmp_path: Path) -> None:
    arriving, abandoned = tmp_path / "arriving.part", tmp_path / "abandoned.part"
    for file in (arriving, abandoned):
        file.touch()
    long_ago = time.time() - STALE_SECONDS - 1
    os.utime(abandoned, (long_ago, long_ago))

    found = [*leftovers.uploads(tmp_path, [], patience_seconds=AT_ONCE)]

    assert [str(each) for each in found] == [
        "upload abandoned.part is older than any that is arriving"
    ]


def test_a_temporary_file_is_seen(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    assert not [*leftovers.temporary_files(tmp_path)]

    (tmp_path / "folder" / "sound.mp3").touch()

    assert "['folder/sound.mp3']" in str(*leftovers.temporary_files(tmp_path))


def test_a_process_that_outlived_its_parent_is_seen(tmp_path: Path) -> None:
    with process(tmp_path, "") as orphan:
        found = [*leftovers.processes(list, data=tmp_path, usual=0)]

        assert [str(each) for each in found] == [
            f"process {orphan.pid} ({' '.join(orphan.cmdline()[-3:])}) has outlived its parent"
        ]


def test_a_process_too_many_is_seen(tmp_path: Path) -> None:
    with process(tmp_path, "") as one:
        found = leftovers.processes(lambda: [one], data=tmp_path, usual=2, patience_seconds=AT_ONCE)

        assert str(*found) == "there are 1 processes, and 2 at the beginning"


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        (f"kept = b'x' * {leftovers.MOST_MEMORY_BYTES}", "MiB"),
        (f"kept = [open('/dev/null') for _ in range({leftovers.MOST_FILES})]", "files open"),
    ],
)
def test_a_bloated_process_is_seen(tmp_path: Path, script: str, complaint: str) -> None:
    with process(tmp_path, "") as slim, process(tmp_path, script) as fat:
        found = leftovers.processes(lambda: [slim, fat], data=tmp_path, usual=2)

        assert complaint in str(*found)


def test_connections_to_the_database_are_counted(database: Database) -> None:
    url = make_url(database.engine.url).update_query_dict({"application_name": "quaver test 2"})
    engine = create_engine(url, pool_size=leftovers.MOST_CONNECTIONS + 1)

    with ExitStack() as stack, database.statements() as session:
        before = [*leftovers.database_connections(session)]
        for _ in range(leftovers.MOST_CONNECTIONS + 1):
            stack.enter_context(engine.connect())
        found = [*leftovers.database_connections(session)]
    engine.dispose()

    assert before == []
    assert "connections to the database" in str(*found)


def test_an_endless_transaction_is_seen(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "LONG_TRANSACTION_SECONDS", 0)

    with database.transaction() as idle, database.statements() as session:
        idle.execute(text("SELECT 1"))

        assert str(*leftovers.database_connections(session)) == (
            "1 transactions were begun and not ended"
        )


def test_a_subscription_too_many_is_seen(redis_url: str) -> None:
    client = signals.connect(redis_url)

    with client.pubsub() as subscription:  # type: ignore[no-untyped-call]
        subscription.subscribe(signals.CHANNEL)
        subscription.get_message(timeout=5)
        due = [*leftovers.subscriptions(client, usual=1)]
        found = [*leftovers.subscriptions(client, usual=0, patience_seconds=AT_ONCE)]
    client.close()

    assert due == []
    assert str(*found) == "there are 1 subscriptions to signals, and 0 are due"


def test_connections_to_the_broker_are_counted(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "MOST_BROKER_CONNECTIONS", 0)
    client = signals.connect(redis_url)

    assert "connections to the broker" in str(*leftovers.subscriptions(client, usual=0))

    client.close()


def test_a_token_in_a_log_is_seen(tmp_path: Path) -> None:
    (tmp_path / "api.log").write_text("GET /record?token=7f0c 200\n")
    (tmp_path / "flower.log").write_text("nothing\n")

    assert [str(each) for each in leftovers.secrets(tmp_path, "7f0c")] == [
        "api.log tells a user's token"
    ]
