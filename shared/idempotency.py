"""Requests that take effect once, however often they are sent: `Idempotency-Key`.

::

    with database.transaction() as session:
        if earlier := idempotency.begin(session, request):
            return earlier  # Its job, or its answer.
        ...
        idempotency.end(session, request, job_id=job.id)

The key is written in the transaction that does what is asked for: there are both or neither,
whatever dies in between. The same key at the same time waits in `begin` until the first is
committed, and is then a repeat.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import delete, func, select, update
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


@dataclass(frozen=True)
class Earlier:
    """What came of a request when it was first sent."""

    job_id: UUID | None
    answer: Any
    """In JSON; None if the job has it."""


def begin(session: Session, request: KeyedRequest) -> Earlier | None:
    """None if this is the request's first time; it takes effect with this transaction, or not.

    Raises:
        IdempotencyConflict: another request had this key.
    """
    first = (
        insert(IdempotencyKey)
        .values(key_sha256=request.key_sha256, request_sha256=request.digest)
        .on_conflict_do_update(
            # An old one is as good as none, whether it has been swept away by now or not.
            index_elements=[IdempotencyKey.key_sha256],
            set_={
                "request_sha256": request.digest,
                "job_id": None,
                "sealed": None,
                "created_at": func.clock_timestamp(),
            },
            where=IdempotencyKey.created_at < func.clock_timestamp() - KEPT,
        )
        .returning(IdempotencyKey.key_sha256)
    )
    if session.execute(first).one_or_none():
        return None
    row = session.scalars(select(IdempotencyKey).where(_is(request))).one()
    if row.request_sha256 != request.digest:
        raise errors.IdempotencyConflict
    return Earlier(row.job_id, _unseal(row.sealed, request) if row.sealed else None)


def end(
    session: Session, request: KeyedRequest, *, job_id: UUID | None = None, answer: Any = None
) -> None:
    """Keep what came of a request, in the transaction that began it: its job, or its answer.

    An answer may hold a secret: it is kept sealed, and only the key itself opens it.
    """
    sealed = None if answer is None else _seal(answer, request)
    session.execute(update(IdempotencyKey).where(_is(request)).values(job_id=job_id, sealed=sealed))


def forget_old(session: Session) -> None:
    session.execute(
        delete(IdempotencyKey).where(IdempotencyKey.created_at < func.clock_timestamp() - KEPT)
    )


def _is(request: KeyedRequest) -> Any:
    return IdempotencyKey.key_sha256 == request.key_sha256


def _seal(answer: Any, request: KeyedRequest) -> bytes:
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    return salt + nonce + _cipher(request, salt).encrypt(nonce, json.dumps(answer).encode(), None)


def _unseal(sealed: bytes, request: KeyedRequest) -> Any:
    salt, rest = sealed[:_SALT_BYTES], sealed[_SALT_BYTES:]
    nonce, text = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
    return json.loads(_cipher(request, salt).decrypt(nonce, text, None))


def _cipher(request: KeyedRequest, salt: bytes) -> AESGCM:
    derive = HKDF(SHA256(), length=_KEY_BYTES, salt=salt, info=b"quaver idempotency")
    return AESGCM(derive.derive(request.key.encode()))
