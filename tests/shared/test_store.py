"""The places in which uploads wait: what is true of both, and of the folder alone."""

import errno
import os
import shutil
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from shared import errors, store
from shared.store import FolderStore, ResumedUpload, UploadStore


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "uploads")


@pytest.fixture(params=["folder", "s3"])
def uploads(request: pytest.FixtureRequest, folder: FolderStore) -> UploadStore:
    if request.param == "folder":
        return folder
    return store.from_url(request.getfixturevalue("s3_url"))


def test_a_committed_upload_is_read_as_it_was_written(uploads: UploadStore) -> None:
    upload_id = uuid4()
    upload = uploads.create(upload_id)
    upload.write(b"RIFF")
    upload.write(b"more")
    upload.commit()

    with uploads.open(upload_id) as file:
        assert file.read() == b"RIFFmore"


def test_an_upload_cannot_be_read_before_it_is_committed(uploads: UploadStore) -> None:
    upload_id = uuid4()
    upload = uploads.create(upload_id)
    upload.write(b"RIFF")

    with pytest.raises(FileNotFoundError):
        uploads.open(upload_id)

    upload.discard()


def test_a_discarded_upload_leaves_nothing(uploads: UploadStore) -> None:
    upload = uploads.create(uuid4())
    upload.write(b"RIFF")

    upload.discard()

    assert list(uploads.ages()) == []


def test_discarding_after_the_commit_changes_nothing(uploads: UploadStore) -> None:
    upload_id = uuid4()
    upload = uploads.create(upload_id)
    upload.commit()

    upload.discard()

    uploads.open(upload_id).close()


def begun(uploads: UploadStore, *blocks: bytes) -> UUID:
    """A resumable upload of which this much has come."""
    upload_id = uuid4()
    uploads.begin(upload_id, expected_bytes=100)
    with closing(uploads.resume(upload_id)) as upload:
        for block in blocks:
            upload.write(block)
    return upload_id


def add(upload: ResumedUpload, block: bytes) -> None:
    """Write it for all to see."""
    upload.write(block)
    upload.sync()


def test_a_resumed_upload_goes_on_where_it_was_left(uploads: UploadStore) -> None:
    upload_id = begun(uploads, b"RI", b"FF")

    with closing(uploads.resume(upload_id)) as upload:
        assert upload.size_bytes == 4
        upload.write(b"more")
        upload.commit()

    with uploads.open(upload_id) as file:
        assert file.read() == b"RIFFmore"


def test_of_two_that_resume_an_upload_the_first_to_write_goes_on(uploads: UploadStore) -> None:
    upload_id = begun(uploads)
    first, second = uploads.resume(upload_id), uploads.resume(upload_id)
    first.write(b"RIFF")

    first.sync()

    with pytest.raises(errors.OffsetConflict):
        add(second, b"ABCD")

    add(first, b"more")
    assert first.file.seek(0) == 0
    assert first.file.read(100) == b"RIFFmore"
    first.close()
    second.close()


def test_an_upload_may_be_committed_by_all_that_saw_its_end(uploads: UploadStore) -> None:
    upload_id = begun(uploads, b"RIFF")
    first, second = uploads.resume(upload_id), uploads.resume(upload_id)

    first.commit()
    second.commit()
    late = uploads.resume(upload_id)
    late.commit()

    assert late.size_bytes == 4
    assert [upload_id for upload_id, _ in uploads.ages()] == [upload_id]
    for upload in (first, second, late):
        upload.close()


def test_a_deleted_upload_takes_no_more_and_cannot_be_committed(uploads: UploadStore) -> None:
    upload_id = begun(uploads, b"RIFF")
    with closing(uploads.resume(upload_id)) as upload:
        uploads.delete(upload_id)

        with pytest.raises(errors.UploadNotFound):
            add(upload, b"more")
        with pytest.raises(errors.UploadNotFound):
            upload.commit()


def test_what_has_not_begun_cannot_be_resumed(uploads: UploadStore) -> None:
    with pytest.raises(FileNotFoundError):
        uploads.resume(uuid4())


def test_deleting_twice_is_no_error(uploads: UploadStore) -> None:
    upload_id = uuid4()
    uploads.create(upload_id).commit()

    uploads.delete(upload_id)
    uploads.delete(upload_id)

    assert list(uploads.ages()) == []


def test_arriving_uploads_have_an_age_too_and_strange_files_none(
    folder: FolderStore, tmp_path: Path
) -> None:
    upload_id = uuid4()
    upload = folder.create(upload_id)
    (tmp_path / "uploads" / "README").touch()

    ages = dict(folder.ages())

    assert ages.keys() == {upload_id}
    assert ages[upload_id] < 60
    upload.discard()


def test_a_full_disk_is_told_as_such(folder: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = folder.create(uuid4())
    upload.write(b"RIFF")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(errors.StorageFull):
        upload.commit()
    upload.discard()
    assert list(folder.ages()) == []


def test_an_upload_that_will_not_fit_is_refused_before_it_begins(
    folder: FolderStore, tmp_path: Path
) -> None:
    free = shutil.disk_usage(tmp_path).free

    with pytest.raises(errors.StorageFull):
        folder.create(uuid4(), expected_bytes=2 * free)

    assert list(folder.ages()) == []
    folder.create(uuid4(), expected_bytes=free // 2).discard()


def test_a_folder_that_cannot_be_written_to_fails_its_check(
    folder: FolderStore, tmp_path: Path
) -> None:
    folder.check()
    (tmp_path / "uploads").rmdir()

    with pytest.raises(OSError, match="No such file"):
        folder.check()


def test_a_url_names_a_folder(tmp_path: Path) -> None:
    place = tmp_path / "with space"

    store.from_url(place.as_uri()).check()

    assert place.is_dir()
