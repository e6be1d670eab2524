"""POST /users."""

from typing import Annotated

from fastapi import APIRouter, Depends

from api import openapi
from api.dependencies import Transact, json_body
from api.openapi import responses
from api.schemas import CreatedUser, NewUser
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
