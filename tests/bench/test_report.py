from bench import report
from bench.watch import Result
from bench.ways import Sound


def test_a_way_is_compared_with_the_first_round_by_round() -> None:
    results = {
        Sound("10 s", 10): {
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

    (row,) = report.latencies({"idle": seconds}).splitlines()[2:]

    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        *("idle", "50.0", "95.0", "99.0", "100.0"),
        "101",
    ]


def test_names_stand_left_and_numbers_right() -> None:
    assert report.table(["way", "s"], [["lame", "0.1"], ["ffmpeg", "12"]]).splitlines() == [
        "| way    |   s |",
        "| ------ | --: |",
        "| lame   | 0.1 |",
        "| ffmpeg |  12 |",
    ]
