"""The ways to an MP3 make the same sound."""

from io import BytesIO
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from shared.store import FolderStore
from tests import audio
from worker import join
from worker.cores import Cores
from worker.recording import Recording


def new_recording(folder: Path, wav: bytes) -> Recording:
    uploads = FolderStore(folder)
    recording = Recording(uuid4(), audio.read([wav]), uploads, quality=2, most_seconds=3600)
    upload = uploads.create(recording.id)
    upload.write(wav)
    upload.commit()
    return recording


def ignore(_: float) -> None:
    pass


def encoded(recording: Recording, count: int) -> bytes:
    """By a job on a machine of so many cores, which are idle but for its own."""
    return drawn(recording, count)[0]


def drawn(recording: Recording, count: int) -> tuple[bytes, bytes]:
    """The same, and the waveform's pixels."""
    sound, waveform = BytesIO(), BytesIO()
    cores = Cores(count)
    with cores.taken(1):
        made = recording.encode(sound, waveform, cores=cores, progress=ignore)
    assert made.size_bytes == len(sound.getvalue())
    return sound.getvalue(), waveform.getvalue()


@pytest.mark.parametrize(("sample_rate_hz", "channels"), [(44_100, 2), (96_000, 1), (8_000, 1)])
def test_several_cores_make_the_same_sound_as_one(
    tmp_path: Path, sample_rate_hz: int, channels: int
) -> None:
    wav = audio.make_wav(20, sample_rate_hz=sample_rate_hz, channels=channels)
    recording = new_recording(tmp_path, wav)

    one, one_drawn = drawn(recording, count=1)
    four, four_drawn = drawn(recording, count=4)

    one_heard, four_heard = (audio.decoded(mp3, channels=channels) for mp3 in (one, four))
    assert np.array_equal(one_heard, four_heard)
    assert one_drawn == four_drawn


def test_several_cores_share_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []

    def no_room(pieces: list[join.Piece], *_: object, **__: object) -> None:
        counts.append(len(pieces))
        raise join.NoRoom

    monkeypatch.setattr("worker.encode.joined", no_room)
    recording = new_recording(tmp_path, audio.make_wav(20))

    sounds = [audio.decoded(encoded(recording, count), channels=2) for count in (1, 2, 3)]

    assert counts == [2, 3]
    assert all(np.array_equal(sound, sounds[0]) for sound in sounds)


def test_progress_is_told_and_may_stop_the_work(tmp_path: Path) -> None:
    recording = new_recording(tmp_path, audio.make_wav(20))
    told: list[float] = []

    recording.encode(BytesIO(), BytesIO(), cores=Cores(1), progress=told.append)

    assert 0 < min(told) <= max(told) == 1

    def stop(_: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        recording.encode(BytesIO(), BytesIO(), cores=Cores(1), progress=stop)


def test_compressed_sound_is_encoded_by_one_core(tmp_path: Path) -> None:
    recording = new_recording(tmp_path, audio.compressed("adpcm_ima_wav", audio.music(8)))

    assert recording.segments() == ()
    assert len(audio.decoded(encoded(recording, count=2), channels=2)) >= 8 * 44_100
