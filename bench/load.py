"""Services under load: many clients at once, and a recording of hours."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from bench.figures import Meanwhile, Rush
from bench.services import Service
from bench.sounds import Sound
from bench.watch import probe, repeat
from bench.ways import Way


def rushes(
    ways: Mapping[Way, int], sound: Sound, folder: Path, *, clients: int, rounds: int
) -> dict[str, Rush]:
    """Serve many clients in each of the ways in turn; `ways` says how many it takes at a time.

    As in a race, the first round does not count.
    """
    wav = sound.write(folder)
    found = {way.name: Rush(sound, at_once) for way, at_once in ways.items()}
    for number in range(1 + rounds):
        for way, at_once in ways.items():
            taken = crowd(way, wav, clients=clients, at_once=at_once)
            if number:
                found[way.name].rounds.append(taken)
    return found


def crowd(way: Way, wav: Path, *, clients: int, at_once: int) -> list[float]:
    """How many seconds after the common start each client was served."""

    def served() -> float:
        way.convert(wav)
        return time.perf_counter() - began

    with ThreadPoolExecutor(at_once) as pool:
        began = time.perf_counter()
        return [each.result() for each in [pool.submit(served) for _ in range(clients)]]


def meanwhile(service: Service, sound: Sound, note: Sound, folder: Path) -> Meanwhile:
    """Send a long `sound`; until its MP3 is there ask after the service's health and send notes."""
    wav, short_wav = sound.write(folder), note.write(folder)
    with closing(service.connection()) as connection, ThreadPoolExecutor() as pool:
        began = time.perf_counter()
        conversion = pool.submit(service.upload, wav)

        def goes_on() -> bool:
            return not conversion.done()

        notes = pool.submit(repeat, lambda: service.upload(short_wav), goes_on=goes_on)
        health = probe(lambda: connection.get("/health/live"), goes_on=goes_on)
        seconds = time.perf_counter() - began
        conversion.result()
        return Meanwhile(sound, seconds, health, note, notes.result())
