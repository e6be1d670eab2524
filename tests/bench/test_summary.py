import re

from bench import summary
from bench.__main__ import PUBLISHED
from bench.figures import Figures
from tests.acceptance.product import ROOT
from tests.bench.examples import make_figures


def row(text: str, beginning: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {beginning}")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_the_products_time_is_a_multiple_of_other_ways_times() -> None:
    text = summary.speed(Figures(races=make_figures().races))

    assert row(text, "10 s ") == ["0.100 s", "0.080 s", "0.50", "0.62", "1.25", "0.40", "0.25"]


def test_services_stand_side_by_side() -> None:
    text = summary.speed(make_figures())

    assert row(text, "10 s, one core: last byte") == ["20 ms", "320 ms"]
    assert row(text, "8 clients") == ["160 × real time", "80 × real time"]
    assert row(text, "meanwhile `GET") == ["2.0 ms", "200 ms"]
    assert row(text, "meanwhile uploads") == ["0.200 s (0.300 s)", "2.00 s (6.00 s)"]
    assert row(text, "peak memory: a conversion") == ["70 MB", ""]
    assert row(text, "peak memory: all") == ["500 MB", "4,000 MB"]


def test_a_shorter_recording_is_named() -> None:
    text = summary.speed(make_figures())

    assert row(text, "a recording of 7200 s") == ["30.00 s", "20.00 s for 1800 s"]


def test_nothing_measured_is_nothing_said() -> None:
    assert summary.speed(Figures()) == ""


def test_the_readme_says_what_the_published_run_says() -> None:
    _, _, rest = (ROOT / "README.md").read_text().partition("## Speed")
    speed, _, _ = rest.partition("\n## ")
    rows = [line for line in speed.splitlines() if line.startswith("|")]
    links = re.findall(r"\((bench/\S+)\)", speed)

    published = (PUBLISHED / "speed.md").read_text()
    assert rows
    assert [row for row in rows if row not in published] == []
    assert links
    assert [link for link in links if not (ROOT / link).is_file()] == []
