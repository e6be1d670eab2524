"""`Idempotency-Key`: a client's name for one request, which takes effect once under that name."""

import hashlib
from typing import Annotated

from fastapi import Header

from shared.idempotency import KeyedRequest

REPLAYED = {"Idempotency-Replayed": "true"}

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="A repeat with the same key gives the first answer again and does nothing "
        "twice; it is kept for a day.",
    ),
]


def keyed(key: str | None, scope: str, *content: bytes | str) -> KeyedRequest | None:
    """A request with its key, if it has one; `content` is all that it asks for."""
    if key is None:
        return None
    digest = hashlib.sha256()
    for part in content:
        encoded = part.encode() if isinstance(part, str) else part
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return KeyedRequest(key, scope, digest.digest())
