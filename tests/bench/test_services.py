"""The plain service, really started, and what is measured of services."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bench import load, memory, overhead, services
from bench.connection import WrongAnswer
from bench.services import PLAIN, Service
from bench.sounds import Sound

SOUND = Sound(1)


@pytest.fixture(name="plain", scope="module")
def fixture_plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with services.plain(tmp_path_factory.mktemp("bench") / "plain") as plain:
        yield plain


def test_the_plain_service_makes_mp3s(plain: Service, tmp_path: Path) -> None:
    plain.check(SOUND.write(tmp_path), SOUND)


def test_the_plain_service_knows_its_users(plain: Service, tmp_path: Path) -> None:
    stranger = Service(PLAIN, plain.url, plain.processes, {**plain.user, "token": "wrong"})

    with pytest.raises(WrongAnswer, match="401"):
        stranger.upload(SOUND.write(tmp_path))


def test_overhead_is_measured_in_pairs(plain: Service, tmp_path: Path) -> None:
    measured = overhead.measure([plain], SOUND, tmp_path, rounds=2)

    assert len(measured.waits[PLAIN]) == len(measured.lame) == 2
    assert min(measured.lame) > 0


def test_others_are_served_while_a_long_recording_is_converted(
    plain: Service, tmp_path: Path
) -> None:
    measured = load.meanwhile(plain, Sound(20), SOUND, tmp_path)

    assert measured.health
    assert measured.uploads
    assert measured.seconds > 0


def test_memory_is_that_of_each_process_and_of_all() -> None:
    this = psutil.Process(os.getpid())
    service = Service("service", "", lambda: {"this": [this], "again": [this]}, {})

    with memory.peaks([service]) as peaks:
        pass

    assert peaks["this"] > 1_000_000
    assert peaks[memory.total("service")] >= peaks["this"] + peaks["again"] / 2
