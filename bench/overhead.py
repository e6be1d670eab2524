"""What a service adds to the encoder's own time: from an upload's last byte to its answer."""

import multiprocessing
import time
import wave
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import lameenc

from bench.figures import Overhead
from bench.services import Service
from bench.sounds import Sound
from worker.encode import SPEED

QUALITY = 2
"""What the product encodes with unless told otherwise."""


def measure(services: Sequence[Service], sound: Sound, folder: Path, rounds: int) -> Overhead:
    """Upload and encode in turn; one round more goes first, to warm up, and does not count."""
    wav = sound.write(folder)
    waits: dict[str, list[float]] = {service.name: [] for service in services}
    alone = []
    # A process of its own, and a fresh one: no other thread of this one's holds it up.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as lame:
        for _ in range(1 + rounds):
            for service in services:
                waits[service.name].append(_wait_seconds(service, wav))
            alone.append(lame.submit(lame_seconds, wav).result())
    counted = {name: seconds[1:] for name, seconds in waits.items()}
    return Overhead(sound, counted, alone[1:])


def lame_seconds(wav: Path) -> float:
    """How long LAME takes on one core, with all samples in memory."""
    with wave.open(str(wav)) as file:
        samples = file.readframes(file.getnframes())
        began = time.perf_counter()
        encoder = lameenc.Encoder()
        encoder.silence()
        encoder.set_in_sample_rate(file.getframerate())
        encoder.set_channels(file.getnchannels())
        encoder.set_vbr(lameenc.VBR_MTRH)
        encoder.set_vbr_quality(float(QUALITY))
        encoder.set_quality(SPEED)
        encoder.encode(samples)
        encoder.flush()
        return time.perf_counter() - began


def _wait_seconds(service: Service, wav: Path) -> float:
    """Over a connection that is open when the upload begins."""
    with closing(service.connection()) as connection:
        connection.get("/health/live")
        return connection.upload("/record", service.user, wav).wait_seconds
