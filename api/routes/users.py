"""POST /users and POST /users/{id}/token."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.orm import Session

from api import idempotency, openapi
from api.credentials import Credentials
from api.dependencies import Transact, json_body
from api.idempotency import REPLAYED
from api.openapi import asks, headers, link, responses
from api.schemas import CreatedUser, NewUser, RenewedToken, RowId
from shared import errors, users
from shared.idempotency import KeyedRequest, Outcome, once

router = APIRouter(tags=["users"])

_ID = "$response.body#/id"


@router.post(
    "/users",
    status_code=201,
    summary="Create a user",
    responses={
        201: {
            "description": "The user's id and token.",
            "headers": headers("Idempotency-Replayed"),
            "links": link("list_records", "Their recordings.", user=_ID)
            | link("add_record", "A recording of theirs.", user=_ID)
            | link("renew_token", "Another token.", user_id=_ID),
        },
        **responses(
            errors.MalformedRequest,
            errors.InvalidRequest,
            errors.NameTaken,
            errors.IdempotencyConflict,
            errors.UploadTooSlow,
            errors.UploadTooLarge,
            errors.UnsupportedMediaType,
            errors.DatabaseUnavailable,
        ),
    },
    openapi_extra=asks(body=openapi.json_body(NewUser)),
)
async def create_user(
    new: Annotated[NewUser, Depends(json_body(NewUser))],
    response: Response,
    transact: Transact,
    key: idempotency.Key = None,
) -> CreatedUser:
    """The token is shown this once; the service keeps only its digest."""
    request = idempotency.keyed(key, "POST /users", new.name)
    outcome, was_earlier = await transact(_create, new.name, request)
    if was_earlier:
        response.headers.update(REPLAYED)
    return CreatedUser.model_validate(outcome)


@router.post(
    "/users/{user_id}/token",
    summary="Replace a token",
    responses={
        200: {"description": "The new token.", "headers": headers("Idempotency-Replayed")},
        **responses(errors.InvalidCredentials, errors.InvalidRequest, errors.DatabaseUnavailable),
    },
    openapi_extra=asks(token=True),
)
async def renew_token(
    user_id: RowId,
    request: Request,
    response: Response,
    transact: Transact,
    key: idempotency.Key = None,
) -> RenewedToken:
    """With the old token as the Bearer header; from now on the new one is asked for."""
    sent = Credentials.of(request, user=user_id)
    # The token is a part of what the key is for: who has another one learns nothing of this one.
    keyed = idempotency.keyed(key, f"POST /users/token {sent.user} {sent.token}")
    outcome, was_earlier = await transact(_renew, sent, keyed)
    if was_earlier:
        response.headers.update(REPLAYED)
    return RenewedToken.model_validate(outcome)


def _create(session: Session, name: str, request: KeyedRequest | None) -> tuple[Outcome, bool]:
    def create() -> Outcome:
        user_id, token = users.create(session, name)
        return {"id": user_id, "token": str(token)}

    return once(session, request, create)


def _renew(
    session: Session, sent: Credentials, request: KeyedRequest | None
) -> tuple[Outcome, bool]:
    def renew() -> Outcome:
        return {"token": str(users.renew_token(session, *sent.parsed()))}

    return once(session, request, renew)
