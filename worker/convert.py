"""A recording's conversion: its upload in, its MP3 in the database, the upload gone.

A long one is split into segments, which other jobs encode, and joined when they are done.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast
from uuid import UUID

from sqlalchemy.orm import Session

from shared import chunks, crashpoints, errors, jobs, records, tracing, waveforms
from shared.chunks import Part
from shared.store import storage_errors
from shared.tags import Tags
from worker import encode, id3, join, peaks
from worker.cores import Cores
from worker.lease import Lease
from worker.recording import Recording
from worker.segments import Segment

SPOOL_BYTES = 8 << 20
"""What is not stored yet is held in memory up to this size (an MP3 of some five minutes, a waveform
of six hours), and in a file from there on."""


def convert(lease: Lease, recording: Recording, cores: Cores) -> None:
    """Encode a recording, settle the lease's job with it, and delete the upload.

    If it is long, let segments be encoded first; when the job's turn comes again, join them.

    Raises:
        errors.QuaverError: why it cannot be converted, or cannot now; nothing is stored then.
        LeaseLost: somebody else converts it.
    """
    if "segments" in lease.payload:
        _convert_long(lease, recording)
    elif plan := recording.segments():
        _split(lease, recording, plan)
        return
    else:
        _store(lease, recording, partial(recording.encode, cores=cores, progress=lease.report))
    crashpoints.reach("mp3-stored")
    with suppress(errors.StorageUnavailable):  # The sweep comes back to it.
        recording.uploads.delete(recording.id)


def _split(lease: Lease, recording: Recording, plan: Sequence[Segment]) -> None:
    """Let other jobs encode the segments. What the whole is tagged with, they need not know."""
    untagged = replace(recording.wav, tags=Tags())
    payload = lease.payload | {"wav": untagged.to_json()}
    payloads = (payload | {"segment": segment.to_json()} for segment in plan)
    lease.split(jobs.ENCODE_SEGMENT, payloads, segments=len(plan))


def encode_segment(lease: Lease, recording: Recording) -> None:
    """Encode the segment of a recording that the lease's job is about, and settle the job with it.

    Raises: as `convert`.
    """
    segment = Segment.from_json(lease.payload["segment"])
    waveform = BytesIO()
    with tracing.span("encode"):
        piece = recording.encode_segment(segment, waveform, progress=lease.report)
    with lease.settle() as settlement:
        session = settlement.session
        part = _body_part(segment.index)
        body = chunks.write(session, recording.id, part, BytesIO(piece.body))
        records.add_piece(session, recording.id, segment.index, body, piece.ends.to_bytes())
        waveforms.write(session, recording.id, peaks.pixels(segment).start, waveform)


def _convert_long(lease: Lease, recording: Recording) -> None:
    try:
        _join(lease, recording)
    except join.NoRoom:
        _store(lease, recording, partial(recording.encode_as_stream, progress=lease.report))


def _store(
    lease: Lease, recording: Recording, encode_to: Callable[[BinaryIO, BinaryIO], encode.Mp3]
) -> None:
    """Store the MP3 and the waveform that are written to two files, in place of segments' own."""
    with _spool() as sound, _spool() as waveform:
        sound.write(id3.tag(recording.wav.tags))
        with tracing.span("encode"):
            encoded = encode_to(sound, waveform)
        sound.seek(0)
        with lease.settle() as settlement:
            session = settlement.session
            if "segments" in lease.payload:
                records.forget_parts(session, recording.id)
            waveforms.write(session, recording.id, 0, waveform)
            part = chunks.write_whole(session, recording.id, sound)
            records.set_stored(
                session, recording.id, [part], duration_seconds=encoded.duration_seconds
            )


def _join(lease: Lease, recording: Recording) -> None:
    """Write the tag, the header and the seams, and put all parts in their places.

    Raises:
        join.NoRoom: the segments do not fit together.
    """
    with lease.settle() as settlement:
        session = settlement.session
        joiner = join.Joiner()
        parts = list(_joined(session, recording.id, joiner))
        header, joined = encode.header(joiner.account, recording.sample_frames, recording.settings)
        front = BytesIO(id3.tag(recording.wav.tags) + header)
        parts.insert(0, chunks.write(session, recording.id, 0, front))
        chunks.place(session, recording.id, parts)
        records.set_stored(session, recording.id, parts, duration_seconds=joined.duration_seconds)
        records.forget_pieces(session, recording.id)
        crashpoints.reach("join-written")


def _joined(session: Session, record_id: UUID, joiner: join.Joiner) -> Iterator[Part]:
    """The parts behind the header; the seams among them are written on the way."""
    for piece in records.pieces(session, record_id):
        seam = joiner.add(join.Ends.from_bytes(piece.ends))
        if seam:
            yield chunks.write(session, record_id, _body_part(piece.segment) - 1, BytesIO(seam))
        yield Part(_body_part(piece.segment), piece.size_bytes, piece.sha256)


def _body_part(segment: int) -> int:
    """Number of the part that a segment's body is. The one before is the header or a seam."""
    return 2 * segment + 1


@contextmanager
def _spool() -> Iterator[BinaryIO]:
    """A place for what is not in the database yet. Raises: StorageFull."""
    with storage_errors(), SpooledTemporaryFile(SPOOL_BYTES) as spool:
        yield cast(BinaryIO, spool)
