from pathlib import Path

from tests.faults import report
from tests.faults.campaign import Round
from tests.faults.nemeses import KINDS
from tests.faults.violations import doubled, left_over, lost


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_rounds_are_summed_by_kind() -> None:
    first, second = (nemesis.name for nemesis in KINDS["the broker"][:2])
    wrong = [lost("a"), doubled("b"), doubled("c"), left_over("d")]
    rounds = [
        Round(first, seed=1, under_way=10, accepted=8, settled=8, recovery_seconds=1.5),
        Round(second, seed=1, under_way=1000, accepted=7, settled=6, recovery_seconds=2.5),
        Round(first, seed=2, under_way=1, accepted=1, settled=1, recovery_seconds=0.5),
        Round("1: this, then that", seed=1, under_way=3, violations=wrong),
    ]

    *_, broker, several = report.by_kind(rounds).splitlines()

    assert cells(broker) == [
        *("the broker", "2"),
        *("3", "1,011", "16", "15", "0"),
        *("0", "0", "0", "2.5"),
    ]
    assert cells(several)[1:] == ["1", "1", "3", "0", "0", "0", "1", "2", "1", "never"]


def test_a_fault_has_one_row_whatever_the_number_of_seeds() -> None:
    name = KINDS["the broker"][0].name
    rounds = [Round(name, seed=seed, accepted=seed, recovery_seconds=seed) for seed in (1, 2, 3)]

    *_, row = report.in_detail(rounds).splitlines()

    assert cells(row) == [name, "3", "0", "6", "0", "0", "0", "0", "0", "3.0"]


def test_campaigns_that_were_saved_are_reported_together(tmp_path: Path) -> None:
    name = KINDS["the broker"][0].name
    rounds = [Round(name, seed=seed, violations=[lost("it")]) for seed in (1, 2)]
    files = [tmp_path / "first.json", tmp_path / "second.json"]
    for file, each in zip(files, rounds, strict=True):
        file.write_text(report.to_json([each], 180))

    assert report.of_files(files) == report.whole(rounds, 360)
    assert "Seeds 1, 2; 3 minutes each." in report.of_files(files)


def test_a_fault_that_could_not_be_brought_about_says_why() -> None:
    text = report.in_detail([Round("upload volume full", seed=1, spared="this is not Linux")])

    assert "upload volume full (spared: this is not Linux)" in text
