"""GET /metrics."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import APIRouter, Request, Response
from redis import RedisError

from api.dependencies import Service, Services
from api.metrics import MEDIA_TYPE, Metrics, Snapshot
from api.openapi import TEXT
from shared import errors, jobs, outages, signals, tallies

router = APIRouter(tags=["health"])

T = TypeVar("T")

READ_SECONDS = 5
"""Half of the time that Prometheus gives an answer, unless told otherwise."""


@router.head("/metrics", include_in_schema=False)
@router.get(
    "/metrics",
    summary="What there is to measure",
    response_class=Response,
    responses={200: {"description": "The metrics.", "content": {"text/plain": TEXT}}},
)
async def show_metrics(request: Request, services: Service) -> Response:
    """In Prometheus's text format. What cannot be read now is left out."""
    metrics: Metrics = request.app.state.metrics
    body = metrics.render(await _look(services))
    return Response(body, media_type=MEDIA_TYPE)


async def _look(services: Services) -> Snapshot:
    url, sources = services.broker_url, list(services.settings.question_sources)
    open_jobs, queued_hints, sums, passed_over = await asyncio.gather(
        _unless_away(services.transact.read(jobs.census)),
        _unless_away(signals.waiting(url, jobs.QUEUES.values())),
        _unless_away(tallies.read(url)),
        _unless_away(outages.read(url, sources)),
    )
    return Snapshot(sources, open_jobs, queued_hints, sums, passed_over)


async def _unless_away(reading: Awaitable[T]) -> T | None:
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await reading
    except (errors.QuaverError, RedisError, OSError, TimeoutError):
        return None
