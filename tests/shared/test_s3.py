"""What is true of the uploads in a bucket alone: their pieces, and who sees them."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import bucket as buckets
from shared import errors, pieces, s3
from shared.bucket import Bucket
from shared.s3 import S3Store, S3Upload

SMALL = 1000
"""A piece's bytes, where a test is to have many."""


@pytest.fixture
def uploads(s3_url: str) -> S3Store:
    return S3Store.of_url(s3_url)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "LEAST_PIECE_BYTES", SMALL)
    monkeypatch.setattr(s3, "AHEAD_BYTES", 300)


def keys(uploads: S3Store) -> list[str]:
    return [entry.key for entry in uploads._bucket.entries()]


def names(uploads: S3Store) -> list[str]:
    """Of the objects of an upload."""
    return [key.partition("/")[2] for key in keys(uploads)]


def committed(uploads: S3Store, *blocks: bytes) -> UUID:
    upload_id = uuid4()
    upload = uploads.create(upload_id)
    for block in blocks:
        upload.write(block)
    upload.commit()
    return upload_id


def begun(uploads: S3Store) -> UUID:
    upload_id = uuid4()
    uploads.begin(upload_id, expected_bytes=0)
    return upload_id


def test_a_short_upload_is_one_object(uploads: S3Store) -> None:
    committed(uploads, b"RIFF", b"more")

    assert names(uploads) == ["00000000000000000000.end"]


def test_a_long_upload_is_pieces_and_an_end(uploads: S3Store, small_pieces: None) -> None:
    committed(uploads, bytes(SMALL), bytes(SMALL + 1))

    assert names(uploads) == [
        "00000000000000000000",
        "00000000000000001000",
        "00000000000000002001.end",
    ]


def test_a_resumable_upload_says_that_it_has_begun(uploads: S3Store) -> None:
    with closing(uploads.resume(begun(uploads))) as upload:
        upload.write(b"RIFF")
        upload.commit()

    assert names(uploads) == ["00000000000000000000", "00000000000000000004.end", "begun"]


def test_the_largest_upload_is_one_page_of_a_listing(
    uploads: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 GiB on the scale of 16 bytes for a MiB."""
    monkeypatch.setattr(s3, "LEAST_PIECE_BYTES", 16)
    monkeypatch.setattr(s3, "MOST_PIECE_BYTES", 64)
    sizes: list[int] = []
    monkeypatch.setattr(S3Upload, "_put", lambda _, __, body: sizes.append(len(body)))
    upload = uploads.create(uuid4())

    for _ in range(2048 * 4):
        upload.write(bytes(4))

    assert len(sizes) < 1000 - len(["begun", ".end"])
    assert max(sizes) == 64


@pytest.fixture
def sound(uploads: S3Store, small_pieces: None) -> tuple[bytes, Callable[[], io.IOBase]]:
    """Bytes in pieces of all sizes, and how to open them."""
    blocks = [bytes([number]) * (SMALL + 7 * number) for number in range(5)]
    upload_id = committed(uploads, *blocks, b"the end")
    return b"".join([*blocks, b"the end"]), lambda: uploads.open(upload_id)  # type: ignore[return-value]


MOVES = st.lists(st.tuples(st.integers(0, 5200), st.integers(0, 2500)), max_size=6)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(moves=MOVES)
def test_pieces_are_read_as_one_file(
    sound: tuple[bytes, Callable[[], Any]], moves: list[tuple[int, int]]
) -> None:
    content, open_ = sound
    expected = io.BytesIO(content)

    with open_() as file:
        for position, size in moves:
            assert file.seek(position) == expected.seek(position)
            assert file.read(size) == expected.read(size)
            assert file.tell() == expected.tell()
        assert file.seek(-3, io.SEEK_END) == len(content) - 3
        assert file.read() == b"end"
        with pytest.raises(ValueError, match="1 bytes before the beginning"):
            file.seek(-1)


def test_of_two_at_the_same_offset_one_goes_on(uploads: S3Store) -> None:
    upload_id = begun(uploads)
    both = [uploads.resume(upload_id) for _ in range(2)]
    for upload, byte in zip(both, b"AB", strict=True):
        upload.write(bytes([byte]) * SMALL)

    with ThreadPoolExecutor(2) as threads:
        ends = [threads.submit(upload.commit) for upload in both]
    failures = [end.exception() for end in ends]

    [loser] = [failure for failure in failures if failure]
    assert isinstance(loser, errors.OffsetConflict)
    with uploads.open(upload_id) as file:
        assert file.read() == (b"AB"[failures.index(None)].to_bytes() * SMALL)
    for upload in both:
        upload.close()


def test_what_comes_slowly_is_kept_every_moment(
    uploads: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "HELD_SECONDS", 0)
    upload_id = begun(uploads)

    with closing(uploads.resume(upload_id)) as upload:
        upload.write(b"RI")
        upload.write(b"FF")
        assert len(names(uploads)) == 3

    with closing(uploads.resume(upload_id)) as again:
        assert again.size_bytes == 4


def test_what_has_come_is_kept_however_the_request_ends(uploads: S3Store) -> None:
    upload_id = begun(uploads)

    with closing(uploads.resume(upload_id)) as upload:
        upload.write(b"RIFF")

    with closing(uploads.resume(upload_id)) as again:
        assert again.file.read() == b"RIFF"


def test_what_comes_for_a_deleted_upload_leaves_nothing(uploads: S3Store) -> None:
    upload_id = begun(uploads)
    upload = uploads.resume(upload_id)
    upload.write(b"RIFF")
    uploads.delete(upload_id)

    with pytest.raises(errors.UploadNotFound):
        upload.commit()

    upload.close()
    assert keys(uploads) == []


def test_the_sweep_is_shown_what_a_killed_process_left(
    uploads: S3Store, small_pieces: None
) -> None:
    upload_id = uuid4()
    uploads.create(upload_id).write(bytes(SMALL))
    uploads._bucket.put("README", b"")

    ages = dict(uploads.ages())

    assert ages.keys() == {upload_id}
    assert 0 <= ages[upload_id] < 60
    uploads.delete(upload_id)
    assert keys(uploads) == ["README"]


def test_an_upload_that_was_cleared_away_meanwhile_is_not_committed(
    uploads: S3Store, small_pieces: None
) -> None:
    upload_id = uuid4()
    upload = uploads.create(upload_id)
    upload.write(bytes(SMALL))
    uploads.delete(upload_id)

    with pytest.raises(errors.UploadTooSlow):
        upload.commit()
    with pytest.raises(FileNotFoundError):
        uploads.open(upload_id)

    upload.discard()
    assert keys(uploads) == []


def test_an_upload_that_is_deleted_while_it_is_read_is_not_found(uploads: S3Store) -> None:
    upload_id = committed(uploads, b"RIFF")

    with uploads.open(upload_id) as file:
        uploads.delete(upload_id)

        with pytest.raises(errors.UploadNotFound):
            file.read()


def test_a_check_leaves_nothing(uploads: S3Store) -> None:
    uploads.check()

    assert keys(uploads) == []


def test_more_objects_than_one_request_takes_are_deleted(
    uploads: S3Store, small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "MOST_DELETED", 2)
    upload_id = committed(uploads, *[bytes(SMALL)] * 5)

    uploads.delete(upload_id)

    assert keys(uploads) == []


def test_pieces_behind_a_gap_are_no_part_of_an_upload(uploads: S3Store) -> None:
    upload_id = begun(uploads)
    for start, size in [(0, 10), (10, 5), (16, 4)]:
        uploads._bucket.put(pieces.key(upload_id, pieces.name_at(start)), bytes(size))

    with closing(uploads.resume(upload_id)) as upload:
        assert upload.size_bytes == 15


def test_a_place_may_be_the_bucket_itself(s3_url: str) -> None:
    bucket = Bucket(s3_url.split("/")[2], "")

    S3Store(bucket).check()

    assert not bucket.has(s3.PROBE)
