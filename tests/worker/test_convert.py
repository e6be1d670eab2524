"""A recording's way from its upload to its MP3, and what is left when it breaks off."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import Mock
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from shared import chunks, errors, jobs, records, users, waveforms
from shared.database import Database
from shared.models import Chunk, Job, Piece, Record, State
from shared.store import FolderStore
from tests import audio
from worker import join, peaks, segments
from worker.convert import convert, encode_segment
from worker.cores import Cores
from worker.lease import Lease, LeaseLost
from worker.recording import Recording

NewRecording = Callable[[bytes], tuple[Lease, UUID]]


@pytest.fixture
def uploads(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


@pytest.fixture
def new_recording(
    database: Database, uploads: FolderStore, new_lease: Callable[..., Lease]
) -> NewRecording:
    """Stores a WAV as an upload; returns the lease of its job, and the record's id."""

    def make(wav: bytes) -> tuple[Lease, UUID]:
        record_id = uuid4()
        upload = uploads.create(record_id)
        upload.write(wav)
        upload.commit()
        header = audio.read([wav]).to_json()
        lease = new_lease(jobs.CONVERT, record=str(record_id), wav=header)
        with database.transaction() as session:
            user_id, _ = users.create(session, str(record_id))
            records.create(
                session,
                record_id=record_id,
                user_id=user_id,
                job_id=lease.job_id,
                filename="speech.wav",
            )
        return lease, record_id

    return make


def recording(lease: Lease, uploads: FolderStore) -> Recording:
    return Recording.of_job(lease.payload, uploads=uploads, quality=2, most_seconds=3600)


def run(lease: Lease, uploads: FolderStore) -> None:
    convert(lease, recording(lease, uploads), Cores(1))


def run_segment(lease: Lease, uploads: FolderStore) -> None:
    encode_segment(lease, recording(lease, uploads))


def stored(database: Database, record_id: UUID) -> tuple[Record, bytes]:
    with database.transaction() as session:
        record = session.get_one(Record, record_id)
        return record, b"".join(chunks.read(session, record_id, 0, most_chunks=1000))


def drawn(database: Database, record_id: UUID) -> bytes:
    """The pixels of its waveform."""
    with database.transaction() as session:
        pixels = waveforms.read(session, record_id, 0, most_rows=1000)
        assert len(pixels) == 2 * waveforms.length(session, record_id)
        return pixels


def drawn_at_once(samples: audio.Samples) -> bytes:
    sink = io.BytesIO()
    list(peaks.watched([samples], sink))
    return sink.getvalue()


@pytest.mark.parametrize(("channels", "sample_rate_hz"), [(1, 8_000), (2, 44_100)])
def test_a_recording_becomes_an_mp3_of_the_same_length(
    database: Database,
    uploads: FolderStore,
    new_recording: NewRecording,
    channels: int,
    sample_rate_hz: int,
) -> None:
    wav = audio.make_wav(1.25, sample_rate_hz=sample_rate_hz, channels=channels)
    lease, record_id = new_recording(wav)

    run(lease, uploads)

    record, mp3 = stored(database, record_id)
    assert record.duration_seconds == 1.25
    assert len(audio.decoded(mp3, channels=channels)) == 1.25 * sample_rate_hz
    samples = audio.music(1.25, sample_rate_hz=sample_rate_hz, channels=channels)
    assert drawn(database, record_id) == drawn_at_once(samples)
    assert list(uploads.ages()) == []
    with database.transaction() as session:
        assert jobs.get(session, lease.job_id).state == State.DONE


def test_a_recording_is_converted_though_its_upload_cannot_be_deleted_then(
    new_recording: NewRecording, uploads: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease, _ = new_recording(audio.make_wav(0.1))
    monkeypatch.setattr(uploads, "delete", Mock(side_effect=errors.StorageUnavailable))

    convert(lease, recording(lease, uploads), Cores(1))

    assert lease.outcome == "done"


def test_the_tags_of_a_recording_come_through(
    database: Database,
    uploads: FolderStore,
    new_recording: NewRecording,
) -> None:
    wav = audio.make_wav(0.5) + audio.info(INAM="Колыбельная".encode("windows-1251"))
    lease, record_id = new_recording(wav + audio.bext(description="Дубль 2".encode("windows-1251")))

    run(lease, uploads)

    record, mp3 = stored(database, record_id)
    assert audio.metadata(mp3) == {"title": "Колыбельная", "comment": "Дубль 2"}
    assert record.size_bytes == len(mp3)
    assert len(audio.decoded(mp3, channels=2)) == 0.5 * 44_100


def test_tags_that_ffmpeg_wrote_come_through(
    database: Database,
    uploads: FolderStore,
    new_recording: NewRecording,
) -> None:
    tags = {"title": "Müller", "artist": "Алиса", "track": "3/12", "date": "2024-05-01"}
    options = [part for name, text in tags.items() for part in ("-metadata", f"{name}={text}")]
    options += ["-metadata", "originator=Bob", "-write_bext", "1", "-bitexact"]
    wav = audio.ffmpeg("-v", "error", "-i", "-", *options, "-f", "wav", "-", stdin=audio.make_wav())
    lease, record_id = new_recording(wav)

    run(lease, uploads)

    _, mp3 = stored(database, record_id)
    assert audio.metadata(mp3) == tags | {"encoded_by": "Bob"}


@pytest.mark.parametrize("codec", ["adpcm_ima_wav", "adpcm_yamaha", "mp2"])
def test_compressed_samples_take_the_same_way(
    database: Database,
    uploads: FolderStore,
    new_recording: NewRecording,
    codec: str,
) -> None:
    lease, record_id = new_recording(audio.compressed(codec, audio.music(1)))

    run(lease, uploads)

    _, mp3 = stored(database, record_id)
    assert len(audio.decoded(mp3, channels=2)) >= 44_100
    assert len(drawn(database, record_id)) >= 2 * 44_100 / 256


def test_an_upload_that_is_gone_is_a_failed_conversion(
    database: Database,
    uploads: FolderStore,
    new_recording: NewRecording,
) -> None:
    lease, record_id = new_recording(audio.make_wav(0.1))
    uploads.delete(record_id)

    with pytest.raises(errors.ConversionFailed, match="send it again"):
        run(lease, uploads)


def test_a_worker_that_lost_its_lease_stores_nothing_and_keeps_the_upload(
    database: Database,
    uploads: FolderStore,
    new_recording: NewRecording,
) -> None:
    lease, record_id = new_recording(audio.make_wav(0.5))
    with database.transaction() as session:
        jobs.put_back(session, lease._claim, errors.StorageFull(), delay=lease._duration)

    with pytest.raises(LeaseLost):
        run(lease, uploads)

    uploads.open(record_id).close()
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Chunk)) == 0


def test_a_full_disk_may_be_better_later(
    database: Database,
    uploads: FolderStore,
    new_recording: NewRecording,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lease, _ = new_recording(audio.make_wav(0.5))

    class FullSpool(io.BytesIO):
        def __init__(self, _: int) -> None:
            super().__init__()

        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("worker.convert.SpooledTemporaryFile", FullSpool)

    with pytest.raises(errors.StorageFull) as raised:
        run(lease, uploads)

    assert raised.value.retryable


def children(database: Database, parent_id: UUID) -> list[UUID]:
    with database.transaction() as session:
        return list(session.scalars(select(Job.id).where(Job.parent_id == parent_id)))


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 100 MP3 frames, so that a short sound has several."""
    plan = partial(segments.plan, segment_granules=400)
    monkeypatch.setattr("worker.segments.plan", plan)


@pytest.mark.usefixtures("short_segments")
def test_a_long_recording_is_encoded_in_segments_and_joined(
    database: Database,
    uploads: FolderStore,
    new_recording: NewRecording,
    claim: Callable[[UUID], Lease],
) -> None:
    lease, record_id = new_recording(audio.make_wav(12) + audio.info(INAM=b"Lullaby"))

    run(lease, uploads)
    encoding = children(database, lease.job_id)
    for child in reversed(encoding):
        run_segment(claim(child), uploads)
    run(claim(lease.job_id), uploads)

    assert len(encoding) > 2
    record, mp3 = stored(database, record_id)
    assert (record.duration_seconds, record.size_bytes) == (12, len(mp3))
    assert audio.metadata(mp3) == {"title": "Lullaby"}
    assert len(audio.decoded(mp3, channels=2)) == 12 * 44_100
    assert drawn(database, record_id) == drawn_at_once(audio.music(12))
    assert list(uploads.ages()) == []
    with database.transaction() as session:
        assert jobs.get(session, lease.job_id).state == State.DONE
        assert session.scalar(select(func.count()).select_from(Piece)) == 0


@pytest.mark.usefixtures("short_segments")
def test_segments_that_do_not_fit_together_are_encoded_in_one_piece(
    database: Database,
    uploads: FolderStore,
    new_recording: NewRecording,
    claim: Callable[[UUID], Lease],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lease, record_id = new_recording(audio.make_wav(12))
    run(lease, uploads)
    for child in children(database, lease.job_id):
        run_segment(claim(child), uploads)

    def no_room(*_: object) -> bytes:
        raise join.NoRoom

    monkeypatch.setattr("worker.join.seam", no_room)
    run(claim(lease.job_id), uploads)

    record, mp3 = stored(database, record_id)
    assert record.size_bytes == len(mp3)
    assert len(audio.decoded(mp3, channels=2)) == 12 * 44_100
    assert drawn(database, record_id) == drawn_at_once(audio.music(12))
