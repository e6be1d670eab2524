from bench import report
from bench.figures import Figures, Meanwhile, Result
from bench.services import QUAVER
from bench.sounds import Sound
from tests.bench.examples import make_figures


def cells(table: str, row: int) -> list[str]:
    return [cell.strip() for cell in table.splitlines()[2 + row].strip("|").split("|")]


def test_a_way_is_compared_with_the_first_round_by_round() -> None:
    results = {
        Sound(10): {
            "POST /record": Result([0.1, 0.3, 0.2], mp3_bytes=200_000),
            "ffmpeg": Result([0.2, 1.2, 0.3], mp3_bytes=160_000),
        }
    }

    assert report.conversions(results).splitlines()[2:] == [
        "| 10 s | POST /record |    0.200 | 0.100-0.300 |        1.00 |        160 |      3 |",
        "|      | ffmpeg       |    0.300 | 0.200-1.200 |        0.50 |        128 |      3 |",
    ]


def test_percentiles_are_in_milliseconds() -> None:
    seconds = [number / 1000 for number in range(101)]
    lecture = Meanwhile(Sound(7200), 30, seconds, Sound(3), [0.25])

    table = report.latencies(seconds, {QUAVER: lecture})

    assert cells(table, 0)[1:] == ["50.0", "95.0", "99.0", "100.0", "101"]
    assert cells(table, 2)[1:] == ["250.0", "250.0", "250.0", "250.0", "1"]


def test_a_process_that_a_part_did_not_have_has_no_peak_there() -> None:
    table = report.memory({"first": {"API": 80_000_000}, "then": {"API": 1, "its ffmpeg": 2}})

    assert cells(table, 1) == ["its ffmpeg", "", "0"]


def test_more_processes_are_compared_with_the_first_number() -> None:
    concurrency = make_figures().concurrency
    assert concurrency

    table = report.concurrency(concurrency)

    assert cells(table, 1) == ["2", "2.000", "0.50", "16.0", "160", "0.500", "0.500"]


def test_a_report_says_only_what_was_measured() -> None:
    assert report.whole(make_figures(), "Some machine").count("| ---") > 8
    assert "|" not in report.whole(Figures(), "Some machine")
