"""What was measured, as Markdown: first what the README says, then all of it."""

import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from bench import summary
from bench.figures import (
    Concurrency,
    Figures,
    Meanwhile,
    Overhead,
    Questions,
    Race,
    Rush,
    percentile,
)
from bench.markdown import table
from bench.sounds import Sound


def whole(figures: Figures, machine: str) -> str:
    head = f"# Quaver beside others, {time.strftime('%Y-%m-%d')}\n\n{machine}."
    return "\n\n".join([head, summary.speed(figures), "## In detail", *_details(figures)])


def machine() -> str:
    """CPU, cores, how busy they were before, and Python."""
    load = os.getloadavg()[0]
    python = platform.python_version()
    return f"{_cpu()}, {os.cpu_count()} cores (load {load:.1f} before), Python {python}"


def _details(figures: Figures) -> Iterator[str]:
    if figures.races:
        yield conversions(figures.races)
    if figures.overhead:
        yield overhead(figures.overhead)
    if figures.rushes:
        yield rushes(figures.rushes)
    if figures.meanwhile:
        yield latencies(figures.idle, figures.meanwhile)
    if figures.memory:
        yield memory(figures.memory)
    if figures.concurrency:
        yield concurrency(figures.concurrency)
    if figures.questions:
        yield questions(figures.questions)


def conversions(races: Mapping[Sound, Race]) -> str:
    """A row for each sound and way, with the first way's time as a multiple of its own."""
    rows = []
    for sound, race in races.items():
        first = next(iter(race.values()))
        for way, result in race.items():
            rows.append(
                [
                    sound.name if result is first else "",
                    way,
                    *_spread(result.seconds),
                    f"{first.ratio(result):.2f}",
                    f"{result.mp3_bytes * 8 / 1000 / sound.seconds:.0f}",
                    f"{len(result.seconds)}",
                ]
            )
    head = ["WAV", "way", "median s", "min-max s", "POST ÷ this", "MP3 kbit/s", "rounds"]
    return table(head, rows)


def overhead(measured: Overhead) -> str:
    """The wait from an upload's last byte to the answer's first."""
    rows = [["LAME alone, on one core", *_spread(measured.lame), ""]]
    rows += [
        [service, *_spread(waits), f"{1000 * measured.seconds(service):.1f}"]
        for service, waits in measured.waits.items()
    ]
    return table(
        [f"{measured.sound.name}, sent", "median s", "min-max s", "more than LAME, ms"], rows
    )


def rushes(measured: Mapping[str, Rush]) -> str:
    first = next(iter(measured.values()))
    rows = [[f"{name}, {rush.at_once} at a time", *_rush(rush)] for name, rush in measured.items()]
    return table([f"{first.clients} clients, {first.sound.name} each", *RUSH_HEAD], rows)


def latencies(idle: Sequence[float], measured: Mapping[str, Meanwhile]) -> str:
    rows = [["Quaver, idle: GET /health/live", *_percentiles(idle)]] if idle else []
    for service, each in measured.items():
        name = f"{service}, while {each.sound.name} are converted ({each.seconds:.0f} s)"
        rows.append([f"{name}: GET /health/live", *_percentiles(each.health)])
        rows.append([f"{name}: POST /record of {each.note.name}", *_percentiles(each.uploads)])
    return table(["asked", "p50 ms", "p95 ms", "p99 ms", "max ms", "requests"], rows)


def memory(measured: Mapping[str, Mapping[str, int]]) -> str:
    """Peaks, a column for each part of the run."""
    names = dict.fromkeys(name for peaks in measured.values() for name in peaks)
    rows = [
        [
            name,
            *(f"{peaks[name] / 1e6:.0f}" if name in peaks else "" for peaks in measured.values()),
        ]
        for name in names
    ]
    return table(["peak MB", *measured], rows)


def concurrency(measured: Concurrency) -> str:
    first = next(iter(measured.alone.values()))
    rows = [
        [
            f"{count}",
            f"{result.median:.3f}",
            f"{result.ratio(first):.2f}",
            *_rush(measured.crowded[count]),
        ]
        for count, result in measured.alone.items()
    ]
    rush = next(iter(measured.crowded.values()))
    crowd = f"{rush.clients} clients: {RUSH_HEAD[0]}"
    head = ["processes", f"{measured.sound.name}: median s", "÷ the first", crowd, *RUSH_HEAD[1:]]
    return table(head, rows)


def questions(measured: Questions) -> str:
    row = [
        *_spread(measured.seconds),
        f"{median(measured.seconds) / measured.trip_seconds:.1f}",
        f"{median(measured.trips):.0f}",
    ]
    head = ["median s", "min-max s", "in source round trips", "round trips made"]
    return table(["POST /questions", *head], [[f"{measured.asked_for} new ones", *row]])


RUSH_HEAD = ("recordings/s", "× real time", "served after: p50 s", "max s")


def _rush(rush: Rush) -> list[str]:
    return [
        f"{rush.recordings_per_second:.1f}",
        f"{rush.times_real_time:.0f}",
        f"{median(rush.latencies):.3f}",
        f"{max(rush.latencies):.3f}",
    ]


def _spread(seconds: Sequence[float]) -> list[str]:
    return [f"{median(seconds):.3f}", f"{min(seconds):.3f}-{max(seconds):.3f}"]


def _percentiles(seconds: Sequence[float]) -> list[str]:
    marks = [*(percentile(seconds, percent) for percent in (50, 95, 99)), max(seconds)]
    return [*(f"{1000 * mark:.1f}" for mark in marks), f"{len(seconds)}"]


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
