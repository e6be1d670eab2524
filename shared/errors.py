"""Everything that can go wrong and that a user may be told, as one tree.

::

    QuaverError
    ├── InvalidCredentials              invalid-credentials
    ├── MalformedRequest                malformed-request
    ├── InvalidRequest                  invalid-request
    ├── NotFound                        not-found
    │   ├── RecordNotFound              record-not-found
    │   ├── JobNotFound                 job-not-found
    │   └── UploadNotFound              upload-not-found
    ├── NameTaken                       name-taken
    ├── RecordNotReady                  record-not-ready
    ├── IdempotencyConflict             idempotency-conflict
    ├── OffsetConflict                  offset-conflict
    ├── UnsupportedTusVersion           unsupported-tus-version
    ├── ConversionFailed                conversion-failed
    ├── UploadTooSlow                   upload-too-slow
    ├── UploadTooLarge                  upload-too-large
    ├── TooManyRequests                 too-many-requests
    ├── UnsupportedMediaType            unsupported-media-type
    │   ├── NotAWav                     not-a-wav
    │   └── UnsupportedWavCodec         unsupported-wav-codec
    ├── InvalidWav                      invalid-wav
    ├── StorageFull                     storage-full                    (retryable)
    └── Unavailable                     (retryable)
        ├── NotReady                    not-ready
        ├── QueueUnavailable            queue-unavailable
        ├── DatabaseUnavailable         database-unavailable
        ├── StorageUnavailable          storage-unavailable             (not held against its job)
        ├── QuestionSourceUnavailable   question-source-unavailable     (final for its job)
        └── QuestionsExhausted          questions-exhausted             (final for its job)

An error knows what it means, not where it is shown: `api/problems.py` holds the one table from
these classes to HTTP statuses. A job that fails keeps its error as JSON (`to_json`, `from_json`),
so that whoever asks later is told what the waiting client was told.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self


class QuaverError(Exception):
    """Something failed and no more is known about it."""

    slug: ClassVar[str]
    title: ClassVar[str]
    retryable: ClassVar[bool] = False
    """Whether a job that met this error may succeed when it is tried again unchanged."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        retry_after_seconds: int | None = None,
        **members: Any,
    ) -> None:
        """`detail` says what failed, why, and what to do; the class's docstring unless given.

        `members` are further members of the problem object, such as `found` or `errors`.
        """
        self.detail = detail or " ".join((type(self).__doc__ or "").split())
        self.retry_after_seconds = retry_after_seconds
        self.members = members
        super().__init__(self.detail)

    def to_json(self) -> dict[str, Any]:
        return {
            "slug": self.slug,
            "detail": self.detail,
            "retry_after_seconds": self.retry_after_seconds,
            "members": self.members,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "QuaverError":
        """The error that `to_json` described.

        Raises:
            LookupError: no class of the tree has that slug.
        """
        for kind in cls.kinds():
            if kind.slug == stored["slug"]:
                return kind(
                    stored["detail"],
                    retry_after_seconds=stored["retry_after_seconds"],
                    **stored["members"],
                )
        raise LookupError(f"no error has the slug {stored['slug']!r}")

    @classmethod
    def kinds(cls) -> list[type[Self]]:
        """Every class below this one that has a slug, parents first."""
        found: list[type[Self]] = []
        for kind in cls.__subclasses__():
            if "slug" in vars(kind):
                found.append(kind)
            found.extend(kind.kinds())
        return found


class InvalidCredentials(QuaverError):
    """The user or the token is wrong; send the id and the token that POST /users returned."""

    slug = "invalid-credentials"
    title = "Invalid credentials"


class MalformedRequest(QuaverError):
    """The request could not be parsed, or its body ended early; send it again, whole."""

    slug = "malformed-request"
    title = "Malformed request"


class InvalidRequest(QuaverError):
    """The request's fields are not as they must be; `errors` names each of them."""

    slug = "invalid-request"
    title = "Invalid request"


class NotFound(QuaverError):
    """There is nothing at this address; /docs lists the addresses that exist."""

    slug = "not-found"
    title = "Not found"


class RecordNotFound(NotFound):
    """There is no such record; check the link's id and user."""

    slug = "record-not-found"
    title = "Record not found"


class JobNotFound(NotFound):
    """There is no such job; check the id."""

    slug = "job-not-found"
    title = "Job not found"


class UploadNotFound(NotFound):
    """There is no such upload, or not any more: it may have expired. Begin another one."""

    slug = "upload-not-found"
    title = "Upload not found"


class NameTaken(QuaverError):
    """Another user has this name already; choose another one."""

    slug = "name-taken"
    title = "Name taken"


class RecordNotReady(QuaverError):
    """The recording is still being converted; ask again in a moment."""

    slug = "record-not-ready"
    title = "Record not ready"


class IdempotencyConflict(QuaverError):
    """Another request was sent with this Idempotency-Key; give each request a key of its own."""

    slug = "idempotency-conflict"
    title = "Idempotency conflict"


class OffsetConflict(QuaverError):
    """The upload has another offset; ask for it with HEAD, and go on from there."""

    slug = "offset-conflict"
    title = "Offset conflict"


class UnsupportedTusVersion(QuaverError):
    """Resumable uploads here are those of tus 1.0.0; send Tus-Resumable: 1.0.0."""

    slug = "unsupported-tus-version"
    title = "Unsupported tus version"


class ConversionFailed(QuaverError):
    """The recording could not be converted; upload it again."""

    slug = "conversion-failed"
    title = "Conversion failed"


class UploadTooSlow(QuaverError):
    """The upload stalled; send it again over a better connection."""

    slug = "upload-too-slow"
    title = "Upload too slow"


class UploadTooLarge(QuaverError):
    """The upload is larger than this service takes; send a shorter recording."""

    slug = "upload-too-large"
    title = "Upload too large"


class TooManyRequests(QuaverError):
    """Too many requests are under way; try again in a moment."""

    slug = "too-many-requests"
    title = "Too many requests"


class UnsupportedMediaType(QuaverError):
    """The body is of a media type that this address does not take."""

    slug = "unsupported-media-type"
    title = "Unsupported media type"


class NotAWav(UnsupportedMediaType):
    """The upload is no WAV file: it must begin with RIFF, RF64 or BW64 and WAVE."""

    slug = "not-a-wav"
    title = "Not a WAV"


class UnsupportedWavCodec(UnsupportedMediaType):
    """The WAV's codec cannot be decoded here; save it as PCM of 16 or 24 bits and send that."""

    slug = "unsupported-wav-codec"
    title = "Unsupported WAV codec"


class InvalidWav(QuaverError):
    """The WAV is broken; export it again and send that."""

    slug = "invalid-wav"
    title = "Invalid WAV"


class StorageFull(QuaverError):
    """There is no room left to store this; try again later or tell the operator."""

    slug = "storage-full"
    title = "Storage full"
    retryable = True


class Unavailable(QuaverError):
    """Something that this service needs is away; try again in a moment."""

    retryable = True


class NotReady(Unavailable):
    """A part of this service is not working; `checks` names it."""

    slug = "not-ready"
    title = "Not ready"


class QueueUnavailable(Unavailable):
    """No worker could take the job; try again in a moment."""

    slug = "queue-unavailable"
    title = "Queue unavailable"


class DatabaseUnavailable(Unavailable):
    """The database is away; try again in a moment."""

    slug = "database-unavailable"
    title = "Database unavailable"


class StorageUnavailable(Unavailable):
    """The place where uploads wait is away; try again in a moment."""

    slug = "storage-unavailable"
    title = "Storage unavailable"


class QuestionSourceUnavailable(Unavailable):
    """No question source gave anything usable, and nothing was stored; try again later."""

    slug = "question-source-unavailable"
    title = "Question source unavailable"
    retryable = False  # The job has asked every source within its bounds already.


class QuestionsExhausted(Unavailable):
    """The sources have too few new questions, and nothing was stored; ask for at most `found`."""

    slug = "questions-exhausted"
    title = "Questions exhausted"
    retryable = False  # As above.
