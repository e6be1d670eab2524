"""The API's composition root."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline

from api import openapi, problems
from api.connection import Linger
from api.dependencies import Queue, Services, Transactions, body_as_it_is
from api.metrics import Metrics
from api.observing import Observed
from api.places import Places
from api.recent import Recent
from api.routes import (
    catalogue,
    health,
    jobs,
    metrics,
    owner,
    pages,
    questions,
    records,
    resumable,
    users,
    waveforms,
)
from api.waiting import Waiter
from shared import crashpoints, database, signals, store
from shared.catalogue import statistics
from shared.database import Database
from shared.jobs import Hints, celery_app, final_ids
from shared.settings import Settings

ROUTES = (
    users,
    records,
    resumable,
    owner,
    waveforms,
    questions,
    catalogue,
    jobs,
    health,
    metrics,
    pages,
)
DATABASE_CONNECTIONS = 20
STATEMENT_TIMEOUT_SECONDS = 5


def create_app(settings: Settings) -> FastAPI:
    """The API, working with the servers and limits that these settings name."""
    if settings.database_url is None or settings.redis_url is None:
        raise ValueError("DATABASE_URL and REDIS_URL must be set")
    crashpoints.arm(settings.crash_points)
    services = _services(settings, settings.database_url, settings.redis_url)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        waiting = asyncio.create_task(services.waiter.run())
        try:
            yield
        finally:
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting

    # Its pages bring their scripts along: whoever runs this may have no way to the internet.
    app = FastAPIOffline(
        title="Quaver",
        summary="A WAV in, a link to its MP3 out; N new quiz questions, one at a time.",
        description=openapi.GENERAL,
        version="0.1.0",
        license_info={"name": "MIT", "identifier": "MIT"},
        openapi_tags=[{"name": tag, "description": line} for tag, line in openapi.TAGS.items()],
        lifespan=lifespan,
        dependencies=[Depends(body_as_it_is)],
        redoc_url=None,
        # Its own spans, for which a variable can ask, would tell the whole query.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        generate_unique_id_function=lambda route: route.name,
        servers=[{"url": settings.public_url}] if settings.public_url else None,
        redirect_slashes=False,  # An address has one spelling; a redirected upload is sent twice.
    )
    app.state.services = services
    app.state.metrics = Metrics(services)
    app.add_middleware(Observed, metrics=app.state.metrics)
    app.add_middleware(Linger)
    problems.install(app)
    for module in ROUTES:
        app.include_router(module.router)
    app.mount("/web", pages.Assets())
    openapi.complete(
        app,
        most_bytes=settings.max_upload_bytes,
        most_questions=settings.max_questions_per_request,
        question_sources=settings.question_sources,
    )
    return app


def _services(settings: Settings, database_url: str, redis_url: str) -> Services:
    engine = database.connect(
        database_url,
        application="api",
        pool_size=DATABASE_CONNECTIONS,
        statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS,
    )
    transact = Transactions(Database(engine), at_once=DATABASE_CONNECTIONS)
    return Services(
        settings=settings,
        transact=transact,
        queue=Queue(Hints(celery_app(redis_url))),
        waiter=Waiter(
            partial(signals.listen, redis_url),
            lambda job_ids: transact.read(final_ids, job_ids),
            partial(signals.announced, redis_url),
        ),
        uploads=store.from_url(settings.uploads),
        broker_url=redis_url,
        question_stats=Recent(partial(transact.read, statistics)),
        places=Places(settings.max_concurrent_uploads),
    )
