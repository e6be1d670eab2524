"""The stack that all tests of the API share, and who calls it."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from launcher import valkey
from shared import signals
from tests import jservice, otlp
from tests.conftest import TEMPLATE, _new_database
from tests.stack import Api, Stack, User


@pytest.fixture(scope="package")
def upstream() -> Iterator[jservice.JService]:
    """The stack's only source of questions."""
    with jservice.JService() as server:
        yield server


@pytest.fixture(scope="package")
def collector() -> Iterator[otlp.Collector]:
    """Where the stack's traces go."""
    with otlp.collector() as collector:
        yield collector


@pytest.fixture(scope="package")
def stack(
    admin: Engine,
    upstream: jservice.JService,
    collector: otlp.Collector,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """The service with its workers; on a Valkey of its own, for others are flushed."""
    folder = tmp_path_factory.mktemp("stack")
    settings = {
        "QUESTION_SOURCES": f"jservice={upstream.url}",
        "LOG_FORMAT": "json",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "FASTAPI_OTEL_AUTO_CONFIGURE": "true",  # Which would tell more than may be told.
    }
    for database_url in _new_database(admin, TEMPLATE):
        with (
            valkey.Server(folder / "valkey") as broker,
            Stack(folder, database_url, broker.url, **settings) as stack,
        ):
            yield stack
    assert stack.tracebacks() == []


@pytest.fixture(scope="package")
def api(stack: Stack) -> Api:
    return stack.api


@pytest.fixture(scope="package")
def strict(stack: Stack) -> Iterator[Api]:
    """A second API with small limits."""
    settings = {
        "MAX_UPLOAD_BYTES": "300000",
        "MAX_DURATION_SECONDS": "3",
        "MAX_CONCURRENT_UPLOADS": "2",
        "MAX_QUESTIONS_PER_REQUEST": "5",
        "UPLOAD_STALL_SECONDS": "0.5",
        "DOWNLOAD_STALL_SECONDS": "0.5",
        "REQUEST_HEAD_SECONDS": "0.5",
    }
    with stack.another_api(**settings) as api:
        yield api


@pytest.fixture(scope="package")
def hasty(stack: Stack) -> Iterator[Api]:
    """A third API, which waits for nobody, behind a proxy that gives it another name."""
    settings = {
        "RECORD_WAIT_SECONDS": "0",
        "QUESTIONS_WAIT_SECONDS": "0",
        "PUBLIC_URL": "https://sound.example/quaver/",
    }
    with stack.another_api(**settings) as api:
        yield api


@pytest.fixture(scope="package")
def alice(api: Api) -> User:
    return api.new_user("Alice")


@pytest.fixture(scope="package")
def bob(api: Api) -> User:
    return api.new_user("Bob")


@pytest.fixture
def nothing_left(stack: Stack) -> Iterator[None]:
    """Others want to find the store empty, also of uploads with which nobody goes on."""
    yield
    for path in stack.uploads.glob("*.part"):
        path.unlink()


@pytest.fixture
def questions(stack: Stack, upstream: jservice.JService) -> Iterator[jservice.JService]:
    """The source of questions, in good health; none of its questions is stored."""
    with stack.database.transaction() as session:
        session.execute(text("TRUNCATE questions"))
    upstream.clues, upstream.behave = [], jservice.serve_in_order
    yield upstream
    redis = signals.connect(stack.redis_url)
    redis.delete(*(f"quaver:source:jservice:{key}" for key in ("open", "failures", "probe")))
    redis.close()
