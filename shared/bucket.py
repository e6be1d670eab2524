"""The door to S3, and to what speaks its protocol: a bucket of bounded patience.

Credentials, region and endpoint are found as all programs with boto3 find them: in the environment,
in `~/.aws`, or from the machine's own role.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import NamedTuple
from uuid import uuid4

import boto3.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from shared import errors

log = logging.getLogger(__name__)

CONNECT_SECONDS, SILENCE_SECONDS = 2, 5
ATTEMPTS = 3
"""Of each request: a server that is frozen is given up after 15 seconds, one that refuses to be
connected at once; one that wants to be asked less is left a second or two between."""

CONNECTIONS = 40
"""Kept open, if as many are used at once: anyio has as many threads."""

MOST_DELETED = 1000
"""By one request."""

# Codes of errors; one that comes without a code has its status for one.
MISSING = {"NoSuchKey", "404"}
TAKEN = {"PreconditionFailed", "ConditionalRequestConflict", "409", "412"}
FULL = {
    "507",
    "InsufficientStorage",
    "QuotaExceeded",  # Ceph.
    "XMinioAdminBucketQuotaExceeded",
    "XMinioStorageFull",
}
"""What servers say when nothing more fits: for that Amazon's, which is never full, has no word."""


class Entry(NamedTuple):
    """An object as a listing shows it."""

    key: str
    size_bytes: int
    age_seconds: float
    """Since it was written, by the server's own clock."""


class Bucket:
    """The objects below a prefix, by their keys behind it. Its methods may be called by any thread.

    All raise StorageUnavailable, and those that write raise StorageFull.
    """

    def __init__(self, name: str, prefix: str) -> None:
        """`prefix` is empty, or ends with a slash."""
        self._name = name
        self._prefix = prefix
        # With LOG_LEVEL=debug it would tell each request's headers, of which one is the token of
        # temporary credentials.
        logging.getLogger("botocore").setLevel(logging.WARNING)
        self._client = boto3.session.Session().client("s3", config=_config())

    def put(self, key: str, body: bytes | bytearray) -> None:
        with _named_errors():
            self._client.put_object(**self._at(key), Body=body)

    def put_once(self, key: str, body: bytes | bytearray) -> bool:
        """Write an object unless somebody else has; whether it is ours.

        What is refused may be the second try of a request whose first took effect, though its
        answer got lost: so who wrote an object is noted with it.
        """
        writer = str(uuid4())
        with _named_errors():
            try:
                self._client.put_object(
                    **self._at(key), Body=body, IfNoneMatch="*", Metadata={"writer": writer}
                )
            except ClientError as error:
                if _code(error) not in TAKEN:
                    raise
                return self._writer(key) == writer
        return True

    def read(self, key: str, start: int, size: int) -> bytes:
        """So many bytes of an object. Raises: FileNotFoundError."""
        with _named_errors():
            try:
                return self._read(key, start, size)
            except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
                # The client tries again only what fails before the answer has begun.
                return self._read(key, start, size)

    def has(self, key: str) -> bool:
        try:
            with _named_errors():
                self._client.head_object(**self._at(key))
        except FileNotFoundError:
            return False
        return True

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """All objects whose keys begin so, in their keys' order."""
        pages = self._client.get_paginator("list_objects_v2")
        with _named_errors():
            for page in pages.paginate(Bucket=self._name, Prefix=self._prefix + prefix):
                now = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
                for found in page.get("Contents", []):
                    yield Entry(
                        found["Key"].removeprefix(self._prefix),
                        found["Size"],
                        max(0, (now - found["LastModified"]).total_seconds()),
                    )

    def delete(self, keys: Iterable[str]) -> None:
        """Those that are not there are no error."""
        named = ({"Key": self._prefix + key} for key in keys)
        while some := list(islice(named, MOST_DELETED)):
            with _named_errors():
                deleted = self._client.delete_objects(
                    Bucket=self._name, Delete={"Objects": some, "Quiet": True}
                )
            if left := deleted.get("Errors"):
                log.warning("%d objects cannot be deleted: %s", len(left), left[0].get("Code"))
                raise errors.StorageUnavailable

    def _read(self, key: str, start: int, size: int) -> bytes:
        answer = self._client.get_object(**self._at(key), Range=f"bytes={start}-{start + size - 1}")
        data: bytes = answer["Body"].read()
        return data

    def _writer(self, key: str) -> str | None:
        """None where there is no such object any more."""
        try:
            with _named_errors():
                metadata = self._client.head_object(**self._at(key))["Metadata"]
        except FileNotFoundError:
            return None
        return str(metadata.get("writer"))

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._name, "Key": self._prefix + key}


def _config() -> Config:
    return Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=SILENCE_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=CONNECTIONS,
        # The bucket in the path, not in the host's name: servers of one's own seldom have a name
        # for each bucket. And no checksums but those that must be, for not all of them know those.
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


@contextmanager
def _named_errors() -> Iterator[None]:
    """Raises: FileNotFoundError, StorageFull, StorageUnavailable for what boto3 raises."""
    try:
        yield
    except ClientError as error:
        code = _code(error)
        if code in MISSING:
            raise FileNotFoundError(code) from None
        log.warning("the bucket refuses %s: %s", error.operation_name, code)
        if code in FULL:
            raise errors.StorageFull(retry_after_seconds=60) from error
        raise errors.StorageUnavailable from error
    except BotoCoreError as error:
        log.warning("the bucket cannot be reached: %s", type(error).__name__)
        raise errors.StorageUnavailable from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
