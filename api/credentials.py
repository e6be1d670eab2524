"""Who is asking: a user's id and token as they were sent, and what is made of them."""

from dataclasses import dataclass
from uuid import UUID

from fastapi import Request
from sqlalchemy.orm import Session

from api.schemas import row_id
from shared import errors, users

NOBODY = 0, UUID(int=0)


@dataclass(frozen=True)
class Credentials:
    """A user's id and token as they were sent: texts that may be anything."""

    user: str
    token: str

    @classmethod
    def of(cls, request: Request, *, user: str | None = None) -> "Credentials":
        """The Bearer header, and the query parameter `user` unless `user` is given."""
        if user is None:
            user = request.query_params.get("user", "")
        return cls(user, _bearer_token(request))

    def parsed(self) -> tuple[int, UUID]:
        """What they stand for; nobody's, which are refused after the same steps as all others."""
        try:
            return row_id(self.user), UUID(self.token)
        except ValueError:
            return NOBODY


def authenticate(session: Session, sent: Credentials) -> int:
    """The user's id. Raises: InvalidCredentials."""
    number, token = sent.parsed()
    users.authenticate(session, number, token)
    return number


def authenticate_anybody(session: Session, sent: Credentials) -> None:
    """Somebody, whoever it is: nobody else learns that there is no such thing.

    Raises: InvalidCredentials.
    """
    try:
        users.authenticate_anybody(session, UUID(sent.token))
    except ValueError:
        raise errors.InvalidCredentials from None


def _bearer_token(request: Request) -> str:
    """The token of an `Authorization: Bearer` header; empty if there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
