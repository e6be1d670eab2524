"""A recording's conversion: its upload in, its MP3 in the database, the upload gone."""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast
from uuid import UUID

from shared import errors, records
from shared.store import UploadStore, storage_errors
from shared.wav import SAMPLE_BY_SAMPLE, Wav
from worker import decode, encode, pcm
from worker.lease import Lease

SPOOL_BYTES = 8 << 20
"""An MP3 is held in memory up to this size (some five minutes), a longer one in a file."""


def convert(lease: Lease, *, uploads: UploadStore, quality: int, most_seconds: float) -> None:
    """Encode the recording of the lease's job, settle the job with it, and delete the upload.

    Raises:
        errors.QuaverError: why it cannot be converted, or cannot now; nothing is stored then.
        LeaseLost: somebody else converts it.
    """
    record_id, wav = UUID(lease.payload["record"]), Wav.from_json(lease.payload["wav"])
    with _open(uploads, record_id) as upload, _spool() as spool:
        mp3 = encode.to_mp3(
            _blocks(upload, wav, most_seconds),
            spool,
            sample_rate_hz=wav.sample_rate_hz,
            channels=min(wav.channels, 2),
            quality=quality,
            # Only decoding tells how long MP3 in WAV is: such a job shows no progress.
            progress=lambda done: lease.report(
                done / wav.sample_frames if wav.sample_frames else 0
            ),
        )
        spool.seek(0)
        with lease.settle() as settlement:
            stored = records.Mp3(spool, mp3.duration_seconds)
            records.store(settlement.session, record_id, stored)
    uploads.delete(record_id)


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
