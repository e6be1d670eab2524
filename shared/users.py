"""Users: a name, and a token of which only the digest is kept."""

import hashlib
import hmac
import unicodedata
from uuid import UUID, uuid4

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from shared import errors
from shared.models import User

_TOKEN = select(User.token_sha256).where(User.id == bindparam("user"))
_NOBODY = hashlib.sha256(b"").digest()


def create(session: Session, name: str) -> tuple[int, UUID]:
    """Add a user; returns the id and the token, which cannot be had again.

    Raises:
        NameTaken: somebody has this name, in whatever case it is written.
    """
    token = uuid4()
    statement = (
        insert(User)
        .values(name=name, name_key=_key(name), token_sha256=_digest(token))
        .on_conflict_do_nothing(index_elements=[User.name_key])
        .returning(User.id)
    )
    user_id = session.scalar(statement)
    if user_id is None:
        raise errors.NameTaken(f"Another user is called {name!r} already; choose another name.")
    return user_id, token


def authenticate(session: Session, user_id: int, token: UUID) -> None:
    """Do nothing, if this is the user's token.

    An unknown user costs the same steps as a wrong token, so that neither answer nor time tells
    them apart.

    Raises:
        InvalidCredentials: it is not.
    """
    expected = session.scalar(_TOKEN, {"user": user_id}) or _NOBODY
    if not hmac.compare_digest(_digest(token), expected):
        raise errors.InvalidCredentials


def authenticate_anybody(session: Session, token: UUID) -> None:
    """Do nothing, if this is some user's token. Raises: InvalidCredentials."""
    if session.scalar(select(User.id).where(User.token_sha256 == _digest(token))) is None:
        raise errors.InvalidCredentials


def lock(session: Session, user_id: int) -> None:
    """Let nobody else lock this user until the end of the transaction."""
    session.execute(select(User.id).where(User.id == user_id).with_for_update())


def renew_token(session: Session, user_id: int, token: UUID) -> UUID:
    """Replace a user's token; returns the new one, which cannot be had again.

    Of two requests with the same old token one succeeds.

    Raises:
        InvalidCredentials: `token` is not theirs, or no longer.
    """
    authenticate(session, user_id, token)
    new = uuid4()
    renewed = session.execute(
        update(User)
        .where(User.id == user_id, User.token_sha256 == _digest(token))
        .values(token_sha256=_digest(new))
        .returning(User.id)
    )
    if renewed.one_or_none() is None:
        raise errors.InvalidCredentials
    return new


def _digest(token: UUID) -> bytes:
    """A token is 122 random bits: a plain digest is as safe as a slow one, and a lot faster."""
    return hashlib.sha256(str(token).encode()).digest()


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
