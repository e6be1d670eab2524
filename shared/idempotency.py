"""Requests that take effect once, however often they are sent: `Idempotency-Key`.

The key is written in the transaction that does what is asked for: there are both or neither,
whatever dies in between. The same key at the same time waits until the first is committed, and is
then a repeat.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import ColumnElement, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from shared import errors
from shared.models import IdempotencyKey

KEPT = timedelta(hours=24)

_SALT_BYTES, _NONCE_BYTES, _KEY_BYTES = 16, 12, 32


@dataclass(frozen=True)
class KeyedRequest:
    """A request to which its client gave a key."""

    key: str
    scope: str
    """The route, and the user where there is one: the same key elsewhere is another."""
    digest: bytes
    """SHA-256 of what is asked for: with the same key it must be the same."""

    @property
    def key_sha256(self) -> bytes:
        """All that the database knows of the key."""
        return hashlib.sha256(f"{self.scope}\n{self.key}".encode()).digest()


Outcome = dict[str, Any]
"""What comes of a request, in JSON: the answer, or the ids of what will have it.

It may hold a secret. So it is kept sealed, and only the key itself opens it.
"""


def once(
    session: Session, request: KeyedRequest | None, act: Callable[[], Outcome]
) -> tuple[Outcome, bool]:
    """What comes of a request, and whether that was earlier; if it was not, `act` is done now.

    None is a request without a key.

    Raises:
        IdempotencyConflict: another request had this key.
    """
    if request is None:
        return act(), False
    if not _is_first(session, request):
        return _earlier(session, request), True
    outcome = act()
    sealed = _seal(outcome, request)
    session.execute(update(IdempotencyKey).where(_is(request)).values(sealed=sealed))
    return outcome, False


def is_known(session: Session, key: str, scope: str) -> bool:
    """Whether a request had this key, whatever it asked for."""
    is_it = _is(KeyedRequest(key, scope, digest=b""))
    return session.scalar(select(exists().where(is_it, ~_is_old()))) or False


def forget(session: Session, request: KeyedRequest) -> None:
    """What came of it is undone: a repeat is a first request again."""
    session.execute(delete(IdempotencyKey).where(_is(request)))


def forget_old(session: Session) -> None:
    session.execute(delete(IdempotencyKey).where(_is_old()))


def _is_first(session: Session, request: KeyedRequest) -> bool:
    first = (
        insert(IdempotencyKey)
        .values(key_sha256=request.key_sha256, request_sha256=request.digest)
        .on_conflict_do_update(
            # An old one is as good as none, whether it has been swept away by now or not.
            index_elements=[IdempotencyKey.key_sha256],
            set_={
                "request_sha256": request.digest,
                "sealed": None,
                "created_at": func.clock_timestamp(),
            },
            where=_is_old(),
        )
        .returning(IdempotencyKey.key_sha256)
    )
    return session.execute(first).one_or_none() is not None


def _earlier(session: Session, request: KeyedRequest) -> Outcome:
    row = session.scalars(select(IdempotencyKey).where(_is(request))).one()
    if row.request_sha256 != request.digest:
        raise errors.IdempotencyConflict
    return _unseal(row.sealed or b"", request)


def _is_old() -> ColumnElement[bool]:
    return IdempotencyKey.created_at < func.clock_timestamp() - KEPT


def _is(request: KeyedRequest) -> ColumnElement[bool]:
    return IdempotencyKey.key_sha256 == request.key_sha256


def _seal(outcome: Outcome, request: KeyedRequest) -> bytes:
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    return salt + nonce + _cipher(request, salt).encrypt(nonce, json.dumps(outcome).encode(), None)


def _unseal(sealed: bytes, request: KeyedRequest) -> Outcome:
    salt, rest = sealed[:_SALT_BYTES], sealed[_SALT_BYTES:]
    nonce, text = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
    outcome: Outcome = json.loads(_cipher(request, salt).decrypt(nonce, text, None))
    return outcome


def _cipher(request: KeyedRequest, salt: bytes) -> AESGCM:
    derive = HKDF(SHA256(), length=_KEY_BYTES, salt=salt, info=b"quaver idempotency")
    return AESGCM(derive.derive(request.key.encode()))
