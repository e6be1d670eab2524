"""POST /questions."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from sqlalchemy.orm import Session

from api import openapi, schemas
from api.dependencies import BaseUrl, Service, json_body
from api.openapi import responses
from api.schemas import AcceptedJob, NewQuestions, Nothing, Question
from shared import errors, jobs
from shared.models import State

router = APIRouter(tags=["questions"])


@router.post(
    "/questions",
    response_model=Question | Nothing,
    summary="Store new questions",
    responses={
        202: {"model": AcceptedJob, "description": "The sources are still being asked."},
        **responses(
            errors.MalformedRequest,
            errors.InvalidRequest,
            errors.UploadTooSlow,
            errors.UploadTooLarge,
            errors.UnsupportedMediaType,
            errors.QuestionsExhausted,
            errors.QuestionSourceUnavailable,
            errors.DatabaseUnavailable,
        ),
    },
    openapi_extra=openapi.json_body(NewQuestions),
)
async def store_questions(
    wanted: Annotated[NewQuestions, Depends(json_body(NewQuestions))],
    services: Service,
    base_url: BaseUrl,
) -> Question | Nothing | Response:
    """Stores exactly `questions_num` new unique questions, or none and says why.

    Answers with the question that was the newest before these, or `{}` when there was none.
    """
    settings = services.settings
    if wanted.questions_num > settings.max_questions_per_request:
        problem = f"must be at most {settings.max_questions_per_request}"
        raise errors.InvalidRequest(
            f"questions_num: {problem}.",
            errors=[{"pointer": "#/questions_num", "detail": problem}],
        )
    job = await services.transact(jobs.create, jobs.COLLECT, {"count": wanted.questions_num})
    services.queue.hint(job.id, jobs.COLLECT)
    seconds = settings.questions_wait_seconds
    previous: Question | Nothing | None = await services.outcome(
        job.id, jobs.COLLECT, seconds, _outcome, job.id
    )
    if previous is None:
        return schemas.still_at_work(AcceptedJob(job=schemas.job_url(job.id, base_url)))
    return previous


def _outcome(session: Session, job_id: UUID) -> Question | Nothing | None:
    """The answer of a job, None as long as it has not ended. Raises: why it failed."""
    job = jobs.get(session, job_id)
    if not State(job.state).is_final:
        return None
    if job.error is not None:
        raise errors.QuaverError.from_json(job.error)
    return Question.model_validate(job.result) if job.result else Nothing()
