import io
from random import Random
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import jobs, records, users, waveforms
from shared.database import Database
from shared.waveforms import ROW_BYTES


@pytest.fixture
def record_id(database: Database) -> UUID:
    with database.transaction() as session:
        user_id, _ = users.create(session, "Ann")
        job = jobs.create(session, jobs.CONVERT, {})
        record = records.create(
            session, record_id=uuid4(), user_id=user_id, job_id=job.id, filename=""
        )
        return record.id


@pytest.mark.parametrize("size", [2, ROW_BYTES, ROW_BYTES + 2, 3 * ROW_BYTES])
def test_a_waveform_is_read_as_it_was_stored(
    database: Database, record_id: UUID, size: int
) -> None:
    data = Random(size).randbytes(size)

    with database.transaction() as session:
        waveforms.write(session, record_id, 0, io.BytesIO(data))

    with database.transaction() as session:
        assert waveforms.read(session, record_id, 0, most_rows=9) == data
        assert waveforms.length(session, record_id) == size / 2


def test_stretches_are_written_in_any_order_and_read_in_theirs(
    database: Database, record_id: UUID
) -> None:
    stretches = {0: ROW_BYTES + 10, ROW_BYTES // 2 + 5: 8, ROW_BYTES // 2 + 9: ROW_BYTES}
    data = {start: Random(start).randbytes(size) for start, size in stretches.items()}

    with database.transaction() as session:
        for start in reversed(stretches):
            waveforms.write(session, record_id, start, io.BytesIO(data[start]))

    whole = b"".join(data.values())
    with database.transaction() as session:
        assert waveforms.length(session, record_id) == len(whole) / 2
        assert waveforms.read(session, record_id, 0, most_rows=9) == whole
        assert waveforms.read(session, record_id, 0, most_rows=1) == whole[:ROW_BYTES]
        start = ROW_BYTES // 2
        assert waveforms.read(session, record_id, start, most_rows=9) == whole[ROW_BYTES:]


def test_a_waveform_is_forgotten(database: Database, record_id: UUID) -> None:
    with database.transaction() as session:
        waveforms.write(session, record_id, 0, io.BytesIO(bytes(10)))
        waveforms.forget(session, record_id)

    with database.transaction() as session:
        assert waveforms.length(session, record_id) == 0
        assert waveforms.read(session, record_id, 0, most_rows=9) == b""


@given(st.lists(st.tuples(st.integers(-128, 127), st.integers(-128, 127))), st.integers(1, 99))
def test_extremes_are_those_of_each_group(pixels: list[tuple[int, int]], count: int) -> None:
    lows, highs = np.array(pixels, np.int8).reshape(-1, 2).T
    groups = [pixels[start : start + count] for start in range(0, len(pixels), count)]

    extremes = waveforms.extremes(lows, highs, count)

    assert extremes.tolist() == [
        [min(low for low, _ in group), max(high for _, high in group)] for group in groups
    ]
