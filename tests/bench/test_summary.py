from bench import summary
from bench.figures import Figures
from tests.bench.run import make_figures


def row(text: str, beginning: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {beginning}")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_the_products_time_is_a_multiple_of_each_other_way_s() -> None:
    text = summary.speed(Figures(races=make_figures().races))

    assert row(text, "10 s") == ["0.100 s", "0.080 s", "0.50", "0.62", "1.25", "0.40", "0.25"]


def test_services_stand_side_by_side() -> None:
    text = summary.speed(make_figures())

    assert row(text, "from the last byte") == ["20.0 ms", "320.0 ms"]
    assert row(text, "8 clients") == ["160 × real time", "80 × real time"]
    assert row(text, "meanwhile `GET") == ["2.0 ms", "200.0 ms"]
    assert row(text, "meanwhile uploads") == ["0.200 s (0.300 s)", "2.00 s (6.00 s)"]
    assert row(text, "peak memory: a conversion") == ["70 MB", ""]
    assert row(text, "peak memory: all") == ["500 MB", "4,000 MB"]


def test_a_shorter_recording_is_named() -> None:
    text = summary.speed(make_figures())

    assert row(text, "7200 s in one") == ["30.00 s", "20.00 s for 1800 s"]


def test_nothing_measured_is_nothing_said() -> None:
    assert summary.speed(Figures()) == ""
