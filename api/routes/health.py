"""GET /health/live and /health/ready."""

import asyncio
from collections.abc import Awaitable

import anyio.to_thread
from fastapi import APIRouter
from redis import RedisError
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.dependencies import Service, Services
from api.openapi import responses
from api.schemas import Live, Ready
from shared import errors, signals

router = APIRouter(tags=["health"])

CHECK_SECONDS = 5
OK = "ok"


@router.get("/health/live", summary="Is this process alive?")
async def live() -> Live:
    return Live()


@router.get(
    "/health/ready",
    summary="Can this service do its work?",
    responses=responses(errors.NotReady),
)
async def ready(services: Service) -> Ready:
    database, uploads, (broker, workers) = await asyncio.gather(
        _check(services.transact.read(_ask)),
        _check(anyio.to_thread.run_sync(services.uploads.check, abandon_on_cancel=True)),
        _check_workers(services),
    )
    checks = {"database": database, "broker": broker, "uploads": uploads, "workers": workers}
    away = [name for name, finding in checks.items() if finding != OK]
    if away:
        raise errors.NotReady(f"Not working: {', '.join(away)}.", checks=checks)
    return Ready(checks=checks)


def _ask(session: Session) -> None:
    session.execute(select(1))


async def _check(asking: Awaitable[object]) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await asking
    except (errors.QuaverError, OSError, TimeoutError):
        return "unavailable"
    return OK


async def _check_workers(services: Services) -> tuple[str, str]:
    """What is to be said of the broker and of the workers, who announce themselves there."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            present = await signals.announced(services.broker_url)
    except (RedisError, OSError, TimeoutError):
        return "unavailable", "unknown"
    missing = {"records", "questions"} - present
    return OK, f"none for {' and '.join(sorted(missing))}" if missing else OK
