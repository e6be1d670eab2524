"""GET /health/live and /health/ready."""

import asyncio
from collections.abc import Awaitable

import anyio.to_thread
from fastapi import APIRouter
from redis import RedisError

from api.dependencies import Service, Services
from api.openapi import responses
from api.schemas import Live, Ready
from shared import errors, outages, signals

router = APIRouter(tags=["health"])

CHECK_SECONDS = 5
OK, UNKNOWN = "ok", "unknown"


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live", summary="Is this process alive?")
async def live() -> Live:
    return Live()


@router.head("/health/ready", include_in_schema=False)
@router.get(
    "/health/ready",
    summary="Can this service do its work?",
    responses=responses(errors.NotReady),
)
async def ready(services: Service) -> Ready:
    """A source that is away makes nothing unready: another one, or the bank, may do."""
    database, uploads, (broker, workers), sources = await asyncio.gather(
        _check(services.transact.check()),
        _check(anyio.to_thread.run_sync(services.uploads.check, abandon_on_cancel=True)),
        _check_workers(services),
        _sources(services),
    )
    checks = {"database": database, "broker": broker, "uploads": uploads, "workers": workers}
    away = [f"{name} ({found})" for name, found in checks.items() if found not in {OK, UNKNOWN}]
    if away:
        raise errors.NotReady(
            f"Not working: {', '.join(away)}. What needs that is refused, or accepted and done "
            "later; what does not goes on. The logs say more.",
            checks=checks,
            sources=sources,
        )
    return Ready(checks=checks, sources=sources)


async def _check(asking: Awaitable[object]) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await asking
    except errors.StorageFull:
        return "full"
    except (errors.QuaverError, OSError, TimeoutError):
        return "unavailable"
    return OK


async def _check_workers(services: Services) -> tuple[str, str]:
    """What is to be said of the broker and of the workers, who announce themselves there."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            present = await signals.announced(services.broker_url)
    except (RedisError, OSError, TimeoutError):
        return "unavailable", UNKNOWN
    missing = {"records", "questions"} - present
    return OK, f"none for {' and '.join(sorted(missing))}" if missing else OK


async def _sources(services: Services) -> dict[str, str]:
    """What the workers have found of the sources of questions."""
    names = services.settings.question_sources
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            away = await outages.read(services.broker_url, names)
    except (RedisError, OSError, TimeoutError):
        return dict.fromkeys(names, UNKNOWN)
    return dict.fromkeys(names, OK) | {
        name: f"{outage.reason}; passed over for {outage.seconds} s"
        for name, outage in away.items()
    }
