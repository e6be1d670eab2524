"""Real servers for all tests: one PostgreSQL and one Valkey a session, a fresh database a test."""

import itertools
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import boto3.session
import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from launcher import postgres, valkey
from shared import database as databases
from shared import jobs, migrations, signals
from shared.database import Database
from tests import seaweed
from worker.lease import Lease

TEMPLATE = "migrated"

MEMORY = Path("/dev/shm")
MEMORY_BYTES = 8 << 30

_numbers = itertools.count(1)
_connect = socket.socket.connect


def pytest_configure() -> None:
    """Have temporary files in memory if it has room, and programs may be started from there.

    A database is a folder of 300 files: some disks take longer to make and delete those than most
    tests take.
    """
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return
    is_for_data_alone = os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    if shutil.disk_usage(MEMORY).free >= MEMORY_BYTES and not is_for_data_alone:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # It is found out anew.


@pytest.fixture(autouse=True, scope="session")
def loopback_only() -> Iterator[None]:
    """Nothing that is tested here may speak to anybody but this machine."""

    def connect(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6} and address[0] not in {
            "127.0.0.1",
            "::1",
            "localhost",
        }:
            raise PermissionError(f"a test tried to connect to {address}")
        _connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        yield


@pytest.fixture(scope="session")
def admin() -> Iterator[Engine]:
    """Makes and drops databases on a private PostgreSQL with a migrated template."""
    with postgres.temporary() as server:
        engine = create_engine(_sqlalchemy_url(server.url), isolation_level="AUTOCOMMIT")
        _execute(engine, f"CREATE DATABASE {TEMPLATE}")
        migrations.upgrade(_with_database(server.url, TEMPLATE))
        yield engine
        engine.dispose()


@pytest.fixture
def empty_database_url(admin: Engine) -> Iterator[str]:
    """A database without tables."""
    yield from _new_database(admin, "template1")


@pytest.fixture
def database_url(admin: Engine) -> Iterator[str]:
    """A database with all tables and no rows, of this test alone."""
    yield from _new_database(admin, TEMPLATE)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    engine = databases.connect(
        database_url, application="test", pool_size=30, statement_timeout_seconds=20
    )
    yield Database(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey.Server(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


@pytest.fixture
def redis_url(broker: str) -> str:
    """A broker that holds nothing."""
    client = signals.connect(broker)
    client.flushall()
    client.close()
    return broker


@pytest.fixture(scope="session")
def seaweed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[seaweed.Server]:
    with seaweed.Server(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture(scope="session")
def boto(seaweed_server: seaweed.Server) -> boto3.session.Session:
    """What boto3 knows of S3, read once: that takes longer than most tests."""
    return boto3.session.Session(
        aws_access_key_id=seaweed_server.keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=seaweed_server.keys["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.fixture
def s3_url(
    seaweed_server: seaweed.Server, boto: boto3.session.Session, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A place in a bucket that is empty, and to which this process has the keys."""
    monkeypatch.setattr(boto3.session, "Session", lambda: boto)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", seaweed_server.keys["AWS_ENDPOINT_URL_S3"])
    return seaweed_server.url(str(uuid4()))


@pytest.fixture
def claim(database: Database) -> Callable[..., Lease]:
    """Claims a queued job, as a worker does: `claim(job_id)`."""

    def make(job_id: UUID, *, seconds: float = 60) -> Lease:
        duration = timedelta(seconds=seconds)
        with database.transaction() as session:
            claimed = jobs.claim(session, job_id, lease=duration)
        assert claimed is not None
        return Lease(
            claimed,
            duration=duration,
            database=database,
            publish=lambda *_: None,
            hint=lambda *_: None,
        )

    return make


@pytest.fixture
def new_lease(database: Database, claim: Callable[..., Lease]) -> Callable[..., Lease]:
    """Makes a job and claims it: `new_lease("questions.collect", count=3)`."""

    def make(kind: str, *, seconds: float = 60, **payload: Any) -> Lease:
        with database.transaction() as session:
            job = jobs.create(session, kind, payload)
        return claim(job.id, seconds=seconds)

    return make


def _new_database(admin: Engine, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}_{uuid4().hex[:8]}"
    _execute(admin, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield _with_database(admin.url.render_as_string(hide_password=False), name)
    _execute(admin, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(engine: Engine, statement: str) -> None:
    with engine.connect() as connection:
        connection.execute(text(statement))


def _sqlalchemy_url(url: str) -> str:
    return make_url(url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)


def _with_database(url: str, name: str) -> str:
    return (
        make_url(url)
        .set(drivername="postgresql", database=name)
        .render_as_string(hide_password=False)
    )
