"""A recording's conversion: its upload in, its MP3 in the database, the upload gone.

A long one is split into segments, which other jobs encode, and joined when they are done.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast
from uuid import UUID

from sqlalchemy.orm import Session

from shared import chunks, errors, jobs, records
from shared.chunks import Part
from shared.store import UploadStore, storage_errors
from shared.wav import SAMPLE_BY_SAMPLE, Wav
from worker import decode, encode, join, mp3, pcm, segments
from worker.lease import Lease
from worker.segments import Segment

SPOOL_BYTES = 8 << 20
"""An MP3 is held in memory up to this size (some five minutes), a longer one in a file."""


def convert(lease: Lease, *, uploads: UploadStore, quality: int, most_seconds: float) -> None:
    """Encode the recording of the lease's job, settle the job with it, and delete the upload.

    If it is long, let segments be encoded first; when the job's turn comes again, join them.

    Raises:
        errors.QuaverError: why it cannot be converted, or cannot now; nothing is stored then.
        LeaseLost: somebody else converts it.
    """
    record_id, wav = _task(lease)
    plan = _plan(wav)
    if len(plan) > 1 and "segments" not in lease.payload:
        payloads = (lease.payload | {"segment": segment.to_json()} for segment in plan)
        lease.split(jobs.ENCODE_SEGMENT, payloads, segments=len(plan))
        return
    try:
        if len(plan) > 1:
            _join(lease, record_id, wav, quality)
        else:
            _encode_whole(lease, uploads=uploads, quality=quality, most_seconds=most_seconds)
    except join.NoRoom:
        _encode_whole(lease, uploads=uploads, quality=quality, most_seconds=most_seconds)
    uploads.delete(record_id)


def encode_segment(lease: Lease, *, uploads: UploadStore, quality: int) -> None:
    """Encode one segment of a recording, and settle the lease's job with it.

    Raises: as `convert`.
    """
    record_id, wav = _task(lease)
    segment = Segment.from_json(lease.payload["segment"])
    length = segment.stop - segment.start
    with _open(uploads, record_id) as upload:
        piece = encode.piece(
            pcm.blocks(upload, wav, start=segment.start, stop=segment.stop),
            segment,
            sample_rate_hz=wav.sample_rate_hz,
            channels=_channels(wav),
            quality=quality,
            progress=lambda done: lease.report(done / length),
        )
    with lease.settle() as settlement:
        session = settlement.session
        body = chunks.write(session, record_id, _body_part(segment.index), BytesIO(piece.body))
        records.add_piece(session, record_id, segment.index, body, piece.ends.to_bytes())


def _task(lease: Lease) -> tuple[UUID, Wav]:
    return UUID(lease.payload["record"]), Wav.from_json(lease.payload["wav"])


def _channels(wav: Wav) -> int:
    """Of the MP3."""
    return min(wav.channels, 2)


def _plan(wav: Wav) -> list[Segment]:
    if wav.codec not in SAMPLE_BY_SAMPLE or wav.sample_frames is None:
        return []  # Decoding begins at the beginning.
    return segments.plan(
        wav.sample_frames,
        wav_rate_hz=wav.sample_rate_hz,
        mp3_rate_hz=encode.output_rate_hz(wav.sample_rate_hz),
        channels=_channels(wav),
    )


def _encode_whole(lease: Lease, *, uploads: UploadStore, quality: int, most_seconds: float) -> None:
    record_id, wav = _task(lease)
    with _open(uploads, record_id) as upload, _spool() as spool:
        encoded = encode.to_mp3(
            _blocks(upload, wav, most_seconds),
            spool,
            sample_rate_hz=wav.sample_rate_hz,
            channels=_channels(wav),
            quality=quality,
            # Only decoding tells how long MP3 in WAV is: such a job shows no progress.
            progress=lambda done: lease.report(
                done / wav.sample_frames if wav.sample_frames else 0
            ),
        )
        spool.seek(0)
        with lease.settle() as settlement:
            session = settlement.session
            if "segments" in lease.payload:  # Which could not be joined.
                chunks.forget(session, record_id)
                records.forget_pieces(session, record_id)
            parts = [chunks.write(session, record_id, 0, spool)]
            chunks.place(session, record_id, parts)
            records.set_stored(session, record_id, parts, duration_seconds=encoded.duration_seconds)


def _join(lease: Lease, record_id: UUID, wav: Wav, quality: int) -> None:
    """Write the header and the seams, and put all parts in their places.

    Raises:
        join.NoRoom: the segments do not fit together.
    """
    settings = mp3.Settings(quality, wav.sample_rate_hz)
    with lease.settle() as settlement:
        session = settlement.session
        joiner = join.Joiner()
        parts = list(_joined(session, record_id, joiner))
        header, joined = encode.header(joiner.account, wav.sample_frames or 0, settings)
        parts.insert(0, chunks.write(session, record_id, 0, BytesIO(header)))
        chunks.place(session, record_id, parts)
        records.set_stored(session, record_id, parts, duration_seconds=joined.duration_seconds)
        records.forget_pieces(session, record_id)


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


def _blocks(upload: BinaryIO, wav: Wav, most_seconds: float) -> Iterator[pcm.Block]:
    if wav.codec in SAMPLE_BY_SAMPLE:
        return pcm.blocks(upload, wav)
    return decode.blocks(upload, wav, max_duration_seconds=most_seconds)


@contextmanager
def _open(uploads: UploadStore, record_id: UUID) -> Iterator[BinaryIO]:
    try:
        upload = uploads.open(record_id)
    except FileNotFoundError:
        raise errors.ConversionFailed(
            "The upload is not in the store any more; send it again."
        ) from None
    with upload:
        yield upload


@contextmanager
def _spool() -> Iterator[BinaryIO]:
    """A place for an MP3 that has not been stored yet. Raises: StorageFull."""
    with storage_errors(), SpooledTemporaryFile(SPOOL_BYTES) as spool:
        yield cast(BinaryIO, spool)
