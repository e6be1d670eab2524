"""Waveforms: what players draw of a record's sound.

A waveform is a row of pixels. Each is the lowest and the highest sample of `SAMPLES_PER_PIXEL`
sample frames, all channels mixed into one, in two signed bytes. They are written in stretches, in
any order, along with the MP3.
"""

from typing import Any, BinaryIO
from uuid import UUID

import numpy as np
import numpy.typing as npt
from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from shared.models import Peaks

SAMPLES_PER_PIXEL = 256
PIXEL_BYTES = 2

ROW_BYTES = 32 * 1024
"""At most, in a row of the table: 95 s of 44.1 kHz. Most segments have one row."""


def extremes(lows: npt.NDArray[Any], highs: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """The lowest of every `count` lows and the highest of as many highs, shape (pixels, 2).

    The last pixel may be one of fewer.
    """
    starts = np.arange(0, len(lows), count)
    return np.stack([np.minimum.reduceat(lows, starts), np.maximum.reduceat(highs, starts)], axis=1)


def write(session: Session, record_id: UUID, start: int, file: BinaryIO) -> None:
    """Store a stretch of pixels that begins with number `start`; `file` is read from its start."""
    file.seek(0)
    while data := file.read(ROW_BYTES):
        session.execute(insert(Peaks).values(record_id=record_id, start=start, data=data))
        start += len(data) // PIXEL_BYTES


def length(session: Session, record_id: UUID) -> int:
    """How many pixels a waveform has."""
    end = Peaks.start + func.octet_length(Peaks.data) // PIXEL_BYTES
    statement = select(end).where(Peaks.record_id == record_id).order_by(Peaks.start.desc())
    return session.scalar(statement.limit(1)) or 0


def read(session: Session, record_id: UUID, start: int, *, most_rows: int) -> bytes:
    """The pixels from number `start` on, where a row begins: of so many rows, or all there are."""
    rows = session.scalars(
        select(Peaks.data)
        .where(Peaks.record_id == record_id, Peaks.start >= start)
        .order_by(Peaks.start)
        .limit(most_rows)
    )
    return b"".join(bytes(row) for row in rows)


def forget(session: Session, record_id: UUID) -> None:
    """Delete a waveform, as far as it has been written."""
    session.execute(delete(Peaks).where(Peaks.record_id == record_id))
