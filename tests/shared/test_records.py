"""Records, and their MP3s in chunks."""

import hashlib
import io
import random
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from shared import chunks, errors, jobs, records, users
from shared.chunks import CHUNK_BYTES
from shared.database import Database
from shared.models import Chunk, Record


@pytest.fixture
def record(database: Database) -> Record:
    with database.transaction() as session:
        user_id, _ = users.create(session, "Ann")
        return records.create(
            session,
            record_id=uuid4(),
            user_id=user_id,
            job_id=jobs.create(session, jobs.CONVERT, {}).id,
            filename="speech.wav",
        )


def add_another(database: Database, record: Record) -> Record:
    """A record of the same user."""
    with database.transaction() as session:
        return records.create(
            session,
            record_id=uuid4(),
            user_id=record.user_id,
            job_id=jobs.create(session, jobs.CONVERT, {}).id,
            filename="speech.wav",
        )


def store(database: Database, record_id: UUID, data: bytes) -> None:
    with database.transaction() as session:
        parts = [chunks.write_whole(session, record_id, io.BytesIO(data))]
        records.set_stored(session, record_id, parts, duration_seconds=1.5)


def read_all(database: Database, record_id: UUID, start: int, *, most_chunks: int) -> bytes:
    with database.transaction() as session:
        return b"".join(chunks.read(session, record_id, start, most_chunks=most_chunks))


@pytest.mark.parametrize(
    "size", [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7]
)
def test_an_mp3_is_read_as_it_was_stored(database: Database, record: Record, size: int) -> None:
    data = random.Random(size).randbytes(size)

    store(database, record.id, data)

    assert read_all(database, record.id, 0, most_chunks=100) == data


def test_chunks_follow_each_other_without_gaps(database: Database, record: Record) -> None:
    store(database, record.id, bytes(2 * CHUNK_BYTES + 5))

    with database.transaction() as session:
        chunks = session.scalars(select(Chunk).order_by(Chunk.start)).all()

    assert [chunk.start for chunk in chunks] == [0, CHUNK_BYTES, 2 * CHUNK_BYTES]
    assert [len(chunk.data) for chunk in chunks] == [CHUNK_BYTES, CHUNK_BYTES, 5]


def test_a_stored_record_knows_its_size_digest_and_length(
    database: Database, record: Record
) -> None:
    data = bytes(range(256)) * 2000

    store(database, record.id, data)

    with database.transaction() as session:
        stored, _ = records.get(session, record.id, record.user_id)
    assert stored.size_bytes == len(data)
    assert stored.sha256 == hashlib.sha256(hashlib.sha256(data).digest()).digest()
    assert stored.duration_seconds == 1.5
    assert stored.stored_at is not None


def test_records_are_listed_newest_first_page_by_page(database: Database, record: Record) -> None:
    others = [add_another(database, record) for _ in range(4)]
    newest_first = [each.id for each in [record, *others]][::-1]

    pages, after = [], None
    with database.transaction() as session:
        while page := records.page(session, record.user_id, limit=2, after=after):
            pages.append([each.id for each, _ in page])
            last = page[-1][0]
            after = last.created_at, last.id
            records.forget(session, last.id)  # Where the page ended is known all the same.

    assert pages == [newest_first[:2], newest_first[2:4], newest_first[4:]]


def test_others_records_are_not_listed(database: Database, record: Record) -> None:
    with database.transaction() as session:
        user_id, _ = users.create(session, "Bob")

        assert records.page(session, user_id, limit=10) == []


def test_a_users_mp3s_are_added_up(database: Database, record: Record) -> None:
    other = add_another(database, record)
    add_another(database, record)
    store(database, record.id, bytes(100))
    store(database, other.id, bytes(11))

    with database.transaction() as session:
        assert records.total_bytes(session, record.user_id) == 111
        assert records.total_bytes(session, 404) == 0


def test_nothing_is_left_of_a_forgotten_record(database: Database, record: Record) -> None:
    store(database, record.id, bytes(100))

    with database.transaction() as session:
        records.forget(session, record.id)

    with database.transaction() as session:
        assert session.scalars(select(Chunk)).all() == []
        with pytest.raises(errors.RecordNotFound):
            records.get(session, record.id, record.user_id)


def test_parts_written_in_any_order_are_read_in_theirs(database: Database, record: Record) -> None:
    sizes = [10, 2 * CHUNK_BYTES + 1, 0, CHUNK_BYTES]
    data = [random.Random(n).randbytes(size) for n, size in enumerate(sizes)]

    with database.transaction() as session:
        written = {
            n: chunks.write(session, record.id, n, io.BytesIO(data[n])) for n in (3, 1, 0, 2)
        }
        chunks.place(session, record.id, [written[n] for n in range(4)])

    whole = b"".join(data)
    for start in (0, 9, 10, 11, CHUNK_BYTES + 10, len(whole) - 1):
        assert read_all(database, record.id, start, most_chunks=100) == whole[start:]


def test_pieces_are_read_in_their_order_until_they_are_forgotten(
    database: Database, record: Record
) -> None:
    part = chunks.Part(1, 5, b"digest")
    order = list(range(50))
    random.Random(1).shuffle(order)
    with database.transaction() as session:
        for segment in order:
            records.add_piece(session, record.id, segment, part, b"ends")

    with database.transaction() as session:
        assert [piece.segment for piece in records.pieces(session, record.id)] == list(range(50))
        records.forget_pieces(session, record.id)
        assert list(records.pieces(session, record.id)) == []


@pytest.mark.parametrize("start", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_reading_begins_anywhere(database: Database, record: Record, start: int) -> None:
    data = random.Random(1).randbytes(2 * CHUNK_BYTES + 5)
    store(database, record.id, data)

    piece = read_all(database, record.id, start, most_chunks=1)

    assert data[start:].startswith(piece)
    assert len(piece) > 0


def test_chunks_are_kept_uncompressed_outside_their_rows(database: Database) -> None:
    with database.engine.connect() as connection:
        storage = connection.exec_driver_sql(
            "SELECT attstorage FROM pg_attribute"
            " WHERE attrelid = 'chunks'::regclass AND attname = 'data'"
        ).scalar()

    assert storage in {"e", b"e"}


def test_another_users_record_is_not_found(database: Database, record: Record) -> None:
    with database.transaction() as session:
        bob, _ = users.create(session, "Bob")

    with pytest.raises(errors.RecordNotFound), database.transaction() as session:
        records.get(session, record.id, bob)


@pytest.mark.parametrize(
    ("upload", "download"),
    [
        ("speech.wav", "speech.mp3"),
        ("speech", "speech.mp3"),
        ("speech.tar.wav", "speech.tar.mp3"),
        ("", "recording.mp3"),
        (".wav", "recording.mp3"),
        ("...", "recording.mp3"),
        ("/etc/passwd", "passwd.mp3"),
        ("..\\..\\boot.ini", "boot.mp3"),
        ("C:\\My Music\\a b.wav", "a b.mp3"),
        ('Привет "мир".wav', 'Привет "мир".mp3'),
        ("a\r\nSet-Cookie: x.wav", "a  Set-Cookie: x.mp3"),
        ("at 10.00\u202fAM.wav", "at 10.00 AM.mp3"),
        ("\ud800.wav", "recording.mp3"),
        ("ы" * 300 + ".wav", "ы" * 125 + ".mp3"),
    ],
)
def test_the_downloads_name_is_the_uploads_made_harmless(upload: str, download: str) -> None:
    assert records.mp3_name(upload) == download


@pytest.mark.parametrize(
    ("upload", "title"), [("C:\\Ночь 1.wav", "Ночь 1"), ("two.dots.wav", "two.dots"), (".wav", "")]
)
def test_an_uploads_name_is_a_title_without_its_extension(upload: str, title: str) -> None:
    assert records.title(upload) == title
