from tests.faults import report
from tests.faults.campaign import Round
from tests.faults.nemeses import KINDS


def test_rounds_are_summed_by_kind() -> None:
    first, second = (nemesis.name for nemesis in KINDS["the broker"][:2])
    rounds = [
        Round(first, seed=1, operations=10, accepted=8, settled=8, recovery_seconds=1.5),
        Round(second, seed=1, operations=1000, accepted=7, settled=6, recovery_seconds=2.5),
        Round("1: this, then that", seed=1, operations=3, violations=["one"]),
    ]

    *_, broker, several = report.by_kind(rounds).splitlines()

    assert [cell.strip() for cell in broker.strip("|").split("|")] == [
        "the broker",
        *("2", "1,010", "15", "14", "0", "0", "2.5"),
    ]
    assert [cell.strip() for cell in several.strip("|").split("|")][1:] == [
        *("1", "3", "0", "0", "0", "1", "never"),
    ]


def test_a_fault_that_could_not_be_brought_about_says_why() -> None:
    text = report.in_detail([Round("upload volume full", seed=1, spared="this is not Linux")])

    assert "upload volume full (spared: this is not Linux)" in text
