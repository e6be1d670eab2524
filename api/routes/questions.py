"""POST /questions."""

import json
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.orm import Session

from api import idempotency, openapi, preferences, problems, schemas
from api.dependencies import BaseUrl, Service, json_body
from api.idempotency import REPLAYED
from api.openapi import asks, headers, link, responses
from api.schemas import AcceptedJob, NewQuestions, Nothing, Question
from shared import errors, jobs, sources
from shared.idempotency import KeyedRequest, Outcome, once
from shared.models import State
from shared.sources import Filters

router = APIRouter(tags=["questions"])


@router.post(
    "/questions",
    response_model=Question | Nothing,
    summary="Store new questions",
    responses={
        200: {
            "description": "The question that was the newest before, or `{}`.",
            "headers": headers("Preference-Applied", "Idempotency-Replayed"),
            "links": link("show_question", "All of it.", question_id="$response.body#/id"),
        },
        202: {
            "model": AcceptedJob,
            "description": "The sources are still being asked.",
            "headers": headers(
                "Location", "Retry-After", "Preference-Applied", "Idempotency-Replayed"
            ),
        },
        **responses(
            errors.MalformedRequest,
            errors.InvalidRequest,
            errors.IdempotencyConflict,
            errors.UploadTooSlow,
            errors.UploadTooLarge,
            errors.UnsupportedMediaType,
            errors.QuestionsExhausted,
            errors.QuestionSourceUnavailable,
            errors.QueueUnavailable,
            errors.DatabaseUnavailable,
        ),
    },
    openapi_extra=asks("Prefer", body=openapi.json_body(NewQuestions)),
)
async def store_questions(  # noqa: PLR0917 - FastAPI gives them by name.
    wanted: Annotated[NewQuestions, Depends(json_body(NewQuestions))],
    request: Request,
    response: Response,
    services: Service,
    base_url: BaseUrl,
    key: idempotency.Key = None,
) -> Question | Nothing | Response:
    """Stores exactly `questions_num` new unique questions, or none and says why.

    Answers with the question that was the newest before these, or `{}` when there was none.

    `category` and `difficulty` choose among the sources too: those that cannot be asked for such
    questions are not asked.
    """
    settings = services.settings
    if wanted.questions_num > settings.max_questions_per_request:
        problem = f"must be at most {settings.max_questions_per_request}"
        raise errors.InvalidRequest(
            f"questions_num: {problem}.",
            errors=[{"pointer": "#/questions_num", "detail": problem}],
        )
    _require_a_source(wanted.filters, settings.question_sources)
    payload = {"count": wanted.questions_num} | wanted.filters._asdict()
    keyed = idempotency.keyed(key, "POST /questions", json.dumps(payload))
    job_id, was_earlier = await services.transact(_accept, payload, keyed)
    services.queue.hint(job_id, jobs.COLLECT)
    waiting = preferences.waiting(request, most_seconds=settings.questions_wait_seconds)
    said = waiting.headers | (REPLAYED if was_earlier else {})
    problems.say(request, said)
    previous: Question | Nothing | None = await services.outcome(
        job_id,
        jobs.COLLECT,
        waiting.seconds,
        partial(_outcome, job_id=job_id),
        is_new=not was_earlier,
    )
    if previous is None:
        accepted = AcceptedJob(job=schemas.job_url(job_id, base_url))
        return schemas.still_at_work(accepted, said)
    response.headers.update(said)
    return previous


def _accept(
    session: Session, payload: dict[str, Any], request: KeyedRequest | None
) -> tuple[UUID, bool]:
    """The job, and whether the request's key had led to it earlier."""

    def create() -> Outcome:
        return {"job": str(jobs.create(session, jobs.COLLECT, payload).id)}

    outcome, was_earlier = once(session, request, create)
    return UUID(outcome["job"]), was_earlier


def _require_a_source(filters: Filters, names: Iterable[str]) -> None:
    """Raises: InvalidRequest, naming each filter that no source honours, and what would do."""
    problems = sources.objections(filters, names)
    if problems:
        raise errors.InvalidRequest(
            "; ".join(f"{name}: {problem}" for name, problem in problems.items()) + ".",
            errors=[{"pointer": f"#/{name}", "detail": p} for name, p in problems.items()],
        )


def _outcome(session: Session, job_id: UUID) -> Question | Nothing | None:
    """The answer of a job, None as long as it has not ended. Raises: why it failed."""
    job = jobs.get(session, job_id)
    if not State(job.state).is_final:
        return None
    if job.error is not None:
        raise errors.QuaverError.from_json(job.error)
    return Question.model_validate(job.result) if job.result else Nothing()
