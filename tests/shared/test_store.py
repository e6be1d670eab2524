"""The folder in which uploads wait."""

import errno
import os
import shutil
from pathlib import Path
from uuid import uuid4

import pytest

from shared import errors, store
from shared.store import FolderStore


@pytest.fixture
def uploads(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "uploads")


def test_a_committed_upload_is_read_as_it_was_written(uploads: FolderStore) -> None:
    upload_id = uuid4()
    upload = uploads.create(upload_id)
    upload.write(b"RIFF")
    upload.write(b"more")
    upload.commit()

    with uploads.open(upload_id) as file:
        assert file.read() == b"RIFFmore"


def test_an_upload_cannot_be_read_before_it_is_committed(uploads: FolderStore) -> None:
    upload_id = uuid4()
    upload = uploads.create(upload_id)
    upload.write(b"RIFF")

    with pytest.raises(FileNotFoundError):
        uploads.open(upload_id)

    upload.discard()


def test_a_discarded_upload_leaves_nothing(uploads: FolderStore, tmp_path: Path) -> None:
    upload = uploads.create(uuid4())
    upload.write(b"RIFF")

    upload.discard()

    assert list((tmp_path / "uploads").iterdir()) == []


def test_discarding_after_the_commit_changes_nothing(uploads: FolderStore) -> None:
    upload_id = uuid4()
    upload = uploads.create(upload_id)
    upload.commit()

    upload.discard()

    uploads.open(upload_id).close()


def test_deleting_twice_is_no_error(uploads: FolderStore) -> None:
    upload_id = uuid4()
    uploads.create(upload_id).commit()

    uploads.delete(upload_id)
    uploads.delete(upload_id)

    assert list(uploads.ages()) == []


def test_arriving_uploads_have_an_age_too_and_strange_files_none(
    uploads: FolderStore, tmp_path: Path
) -> None:
    upload_id = uuid4()
    upload = uploads.create(upload_id)
    (tmp_path / "uploads" / "README").touch()

    ages = dict(uploads.ages())

    assert ages.keys() == {upload_id}
    assert ages[upload_id] < 60
    upload.discard()


def test_a_full_disk_is_told_as_such(uploads: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = uploads.create(uuid4())
    upload.write(b"RIFF")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(errors.StorageFull):
        upload.commit()
    upload.discard()
    assert list(uploads.ages()) == []


def test_an_upload_that_will_not_fit_is_refused_before_it_begins(
    uploads: FolderStore, tmp_path: Path
) -> None:
    free = shutil.disk_usage(tmp_path).free

    with pytest.raises(errors.StorageFull):
        uploads.create(uuid4(), expected_bytes=2 * free)

    assert list(uploads.ages()) == []
    uploads.create(uuid4(), expected_bytes=free // 2).discard()


def test_a_store_that_cannot_be_written_to_fails_its_check(tmp_path: Path) -> None:
    uploads = FolderStore(tmp_path / "uploads")
    uploads.check()
    (tmp_path / "uploads").rmdir()

    with pytest.raises(OSError, match="No such file"):
        uploads.check()


def test_a_url_names_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "with space"

    store.from_url(folder.as_uri()).check()

    assert folder.is_dir()
