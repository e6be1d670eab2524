"""The worker's composition root: the Celery application, and what a worker process works with."""

import functools
import logging
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import billiard.util
import celery.signals
from celery import Celery
from redis import Redis

from shared import crashpoints, database, jobs, logs, signals, store, tracing
from shared.database import Database
from shared.settings import Settings, SettingsError, usable_cpus
from worker.board import Board
from worker.breaker import Breaker
from worker.cores import Cores
from worker.lease import Publish
from worker.sources import QuestionSource, sources_from
from worker.sweep import Sweep
from worker.tallies import Tallies

STATEMENT_TIMEOUT_SECONDS = 300
"""Generous: storing the MP3 of a day-long recording is one statement."""

QUESTION_THREADS = 16
QUESTION_SECONDS = 25
"""How long sources are asked: who waits for the usual 30 seconds still gets the answer."""


@dataclass(frozen=True)
class Workplace:
    """What a process works with. Connections belong to the process that opened them."""

    database: Database
    uploads: store.UploadStore
    publish: Publish
    hints: jobs.Hints
    tallies: Tallies
    breaker: Breaker
    sources: list[QuestionSource]
    cores: Cores
    lease: timedelta
    max_attempts: int
    mp3_quality: int
    most_seconds: float
    """Duration of the longest sound to be converted."""


def _load_settings() -> Settings:
    try:
        settings = Settings.load()
    except SettingsError as error:
        raise SystemExit(str(error)) from None
    if settings.database_url is None or settings.redis_url is None:
        raise SystemExit("A worker needs DATABASE_URL and REDIS_URL; `make run` sets both.")
    return settings


def _make_app(settings: Settings) -> Celery:
    app = jobs.celery_app(str(settings.redis_url))
    app.conf.update(
        imports=["worker.tasks"],
        # Acknowledged when the work has ended. That is a courtesy, not a safeguard: what gets
        # lost all the same, the sweep finds in the database.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=20,
        worker_send_task_events=True,  # For Flower.
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
    )
    return app


settings = _load_settings()
crashpoints.arm(settings.crash_points)
app = _make_app(settings)
cores = Cores(min(settings.worker_concurrency, usable_cpus()))


def open_workplace() -> Workplace:
    redis = signals.connect(str(settings.redis_url))
    board = Board(redis)
    engine = database.connect(
        str(settings.database_url),
        application="worker",
        pool_size=2 * QUESTION_THREADS,  # One for each thread's work and one for its heartbeat.
        statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS,
    )
    return Workplace(
        database=Database(engine),
        uploads=store.from_url(settings.uploads),
        publish=functools.partial(signals.publish, redis),
        hints=jobs.Hints(app),
        tallies=Tallies(board),
        breaker=Breaker(board),
        sources=sources_from(settings.question_sources, board),
        cores=cores,
        lease=timedelta(seconds=settings.job_lease_seconds),
        max_attempts=settings.job_max_attempts,
        mp3_quality=settings.mp3_quality,
        most_seconds=settings.max_duration_seconds,
    )


_opening = threading.Lock()
_workplace = functools.cache(open_workplace)


def workplace() -> Workplace:
    """The one workplace of this process, opened by its first task: after the fork, never before."""
    with _opening:  # Threads that begin at once would open one each.
        return _workplace()


@celery.signals.setup_logging.connect  # type: ignore[untyped-decorator]
def set_up_logs(**_: Any) -> None:
    """In place of Celery's own way, which is left alone by who listens to this signal."""
    logs.configure(settings.log_format, settings.log_level)
    for name in ("celery.worker.strategy", "celery.app.trace"):
        # They say of each message what `tasks.perform` says of the job, and knows better.
        logging.getLogger(name).setLevel(logging.WARNING)
    # Of the pool's processes, such as that one was killed; left alone it writes past our handler.
    pool = billiard.util.get_logger()
    pool.propagate = True
    pool.setLevel(logging.WARNING)


@celery.signals.worker_init.connect  # type: ignore[untyped-decorator]
def _set_up_traces(**_: Any) -> None:
    """Before the fork: what it costs in memory is shared by all processes of the pool."""
    tracing.configure(settings.otel_exporter_otlp_endpoint, "quaver-worker")


@celery.signals.worker_shutdown.connect  # type: ignore[untyped-decorator]
@celery.signals.worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _send_traces(**_: Any) -> None:
    tracing.flush()


@celery.signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _start_sweeping(**_: Any) -> None:
    """Every worker sweeps, in its main process; a lock lets one at a time."""
    place = open_workplace()  # Its own: the pool's children must not inherit its connections.
    sweep = Sweep(
        database=place.database,
        uploads=place.uploads,
        publish=place.publish,
        hints=place.hints,
        tallies=place.tallies,
        max_attempts=place.max_attempts,
        upload_expiry=timedelta(seconds=settings.upload_expiry_seconds),
        period=timedelta(seconds=settings.sweep_seconds),
    )
    threading.Thread(target=sweep.run_forever, name="sweep", daemon=True).start()


@celery.signals.heartbeat_sent.connect  # type: ignore[untyped-decorator]
def _announce(sender: Any, **_: Any) -> None:
    """Tell the API's health check that this worker's main loop turns."""
    group, _at, _host = sender.eventer.hostname.partition("@")
    signals.announce(_redis(), group)


@functools.cache
def _redis() -> Redis:
    return signals.connect(str(settings.redis_url))
