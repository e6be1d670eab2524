"""POST /users and POST /users/{id}/token."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from sqlalchemy.orm import Session

from api import openapi
from api.credentials import Credentials
from api.dependencies import Transact, json_body
from api.openapi import responses
from api.schemas import CreatedUser, NewUser, RenewedToken
from shared import errors, users

router = APIRouter(tags=["users"])


@router.post(
    "/users",
    status_code=201,
    summary="Create a user",
    responses=responses(
        errors.MalformedRequest,
        errors.InvalidRequest,
        errors.NameTaken,
        errors.UploadTooSlow,
        errors.UploadTooLarge,
        errors.UnsupportedMediaType,
        errors.DatabaseUnavailable,
    ),
    openapi_extra=openapi.json_body(NewUser),
)
async def create_user(
    new: Annotated[NewUser, Depends(json_body(NewUser))], transact: Transact
) -> CreatedUser:
    """The token is shown this once; the service keeps only its digest."""
    user_id, token = await transact(users.create, new.name)
    return CreatedUser(id=user_id, token=token)


@router.post(
    "/users/{user_id}/token",
    summary="Replace a token",
    responses=responses(errors.InvalidCredentials, errors.DatabaseUnavailable),
)
async def renew_token(user_id: str, request: Request, transact: Transact) -> RenewedToken:
    """With the old token as the Bearer header; from now on the new one is asked for."""
    return RenewedToken(token=await transact(_renew, Credentials.of(request, user=user_id)))


def _renew(session: Session, sent: Credentials) -> UUID:
    user_id, token = sent.parsed()
    return users.renew_token(session, user_id, token)
