"""Resumable uploads: who began them, and which of them have become records.

How much of one has come is what is in the store (`shared/store.py`): that is one truth for all
processes, and no kill can come between it and another one.
"""

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from shared import errors
from shared.models import Record, ResumableUpload


def create(
    session: Session, *, upload_id: UUID, user_id: int, length_bytes: int, upload_metadata: str
) -> ResumableUpload:
    """Add an upload, of which the store holds nothing yet but its name."""
    upload = ResumableUpload(
        id=upload_id, user_id=user_id, length_bytes=length_bytes, upload_metadata=upload_metadata
    )
    session.add(upload)
    session.flush()
    return upload


def get(session: Session, upload_id: UUID) -> tuple[ResumableUpload, Record | None]:
    """An upload, and the record that it has become. Raises: UploadNotFound."""
    statement = (
        select(ResumableUpload, Record)
        .outerjoin(Record, Record.id == ResumableUpload.id)
        .where(ResumableUpload.id == upload_id)
    )
    row = session.execute(statement).one_or_none()
    if row is None:
        raise errors.UploadNotFound
    return row[0], row[1]


def lock(session: Session, upload_id: UUID) -> tuple[ResumableUpload, Record | None]:
    """The same, until the end of the transaction: nobody finishes or forgets it meanwhile.

    Raises: UploadNotFound.
    """
    session.execute(
        select(ResumableUpload.id).where(ResumableUpload.id == upload_id).with_for_update()
    )
    return get(session, upload_id)


def forget(session: Session, upload_id: UUID) -> Record | None:
    """Forget an upload. The record that it has become is none of its business any more.

    Raises: UploadNotFound.
    """
    upload, record = lock(session, upload_id)
    session.delete(upload)
    return record


def begun(session: Session, upload_ids: Iterable[UUID]) -> set[UUID]:
    """Those of these uploads that are resumable."""
    statement = select(ResumableUpload.id).where(ResumableUpload.id.in_(list(upload_ids)))
    return set(session.scalars(statement))


def forget_old(session: Session, *, age: timedelta, stored: Iterable[UUID]) -> None:
    """Forget what is older and has no bytes in the store: it was refused, or has expired.

    Or it is finished; then it is known for as long again, for a client that missed the end.
    """
    then = func.clock_timestamp() - age
    finished_since = select(Record.id).where(
        Record.id == ResumableUpload.id, Record.created_at >= then
    )
    session.execute(
        delete(ResumableUpload).where(
            ResumableUpload.created_at < then,
            ResumableUpload.id.not_in(list(stored)),
            ~finished_since.exists(),
        )
    )
