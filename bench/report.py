"""What was measured, as Markdown."""

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.watch import Result
from bench.ways import Sound


def conversions(results: Mapping[Sound, Mapping[str, Result]]) -> str:
    """A row for each sound and way, with the first way's time as a multiple of its own.

    That is the median of the ratios within a round: what slows the machine down for a while slows
    down both.
    """
    rows = []
    for sound, by_way in results.items():
        first = next(iter(by_way.values()))
        for name, result in by_way.items():
            rows.append(
                [
                    sound.name if result is first else "",
                    name,
                    f"{result.median:.3f}",
                    f"{min(result.seconds):.3f}-{max(result.seconds):.3f}",
                    f"{_ratio(first, result):.2f}",
                    f"{result.mp3_bytes * 8 / 1000 / sound.seconds:.0f}",
                    f"{len(result.seconds)}",
                ]
            )
    head = ["WAV", "way", "median s", "min-max s", "POST ÷ this", "MP3 kbit/s", "rounds"]
    return table(head, rows)


def latencies(measured: Mapping[str, Sequence[float]]) -> str:
    """Percentiles in milliseconds of the seconds measured under each name."""
    rows = []
    for name, seconds in measured.items():
        cuts = statistics.quantiles(seconds, n=100, method="inclusive")
        marks = [f"{1000 * value:.1f}" for value in (cuts[49], cuts[94], cuts[98], max(seconds))]
        rows.append([name, *marks, f"{len(seconds)}"])
    return table(["GET /health/live", "p50 ms", "p95 ms", "p99 ms", "max ms", "requests"], rows)


def memory(peaks: Mapping[str, int]) -> str:
    rows = [[name, f"{size / 1e6:.0f}"] for name, size in peaks.items()]
    return table(["process", "peak MB"], rows)


def questions(seconds: Sequence[float], trips: Sequence[int], *, trip_seconds: float) -> str:
    middle = statistics.median(seconds)
    row = [
        f"{middle:.3f}",
        f"{min(seconds):.3f}-{max(seconds):.3f}",
        f"{middle / trip_seconds:.1f}",
        f"{statistics.median(trips):.0f}",
    ]
    head = ["median s", "min-max s", "in source round trips", "round trips made"]
    return table(["POST /questions", *head], [["100 new ones", *row]])


def machine() -> str:
    """CPU, cores, how busy they were before, and Python."""
    load = os.getloadavg()[0]
    python = platform.python_version()
    return f"{_cpu()}, {os.cpu_count()} cores (load {load:.1f} before), Python {python}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, also for eyes: names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    is_name = [not any(cell[:1].isdigit() for cell in column) for column in zip(*rows, strict=True)]
    is_name[0] = True
    rule = [
        "-" * width if name else f"{'-' * (width - 1)}:"
        for width, name in zip(widths, is_name, strict=True)
    ]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if name else cell.rjust(width)
            for cell, width, name in zip(cells, widths, is_name, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    return "\n".join(map(line, [head, rule, *rows]))


def _ratio(first: Result, other: Result) -> float:
    pairs = zip(first.seconds, other.seconds, strict=True)
    return statistics.median(one / another for one, another in pairs)


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
