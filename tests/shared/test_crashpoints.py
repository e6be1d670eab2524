"""That every point can be reached, that it strikes once, and that nobody notices it otherwise."""

import ast
import multiprocessing
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import crashpoints
from shared.crashpoints import NAMES
from tests.test_architecture import MODULES


def reached(tree: ast.Module) -> Iterator[str]:
    """What is handed to `crashpoints.reach` there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "crashpoints.reach":
            yield ast.literal_eval(node.args[0])


def arm_and_reach(folder: Path | None) -> None:
    crashpoints.arm(folder)
    crashpoints.reach("job-claimed")


def exit_code(folder: Path | None) -> int | None:
    """How a process ends that was armed with this folder and reaches the point `job-claimed`."""
    process = multiprocessing.get_context("spawn").Process(target=arm_and_reach, args=[folder])
    process.start()
    process.join()
    return process.exitcode


def test_each_point_is_reached_at_one_place_and_none_is_misspelt() -> None:
    assert sorted(point for tree in MODULES.values() for point in reached(tree)) == sorted(NAMES)


def test_a_point_strikes_once(tmp_path: Path) -> None:
    (tmp_path / "job-claimed").touch()

    assert exit_code(tmp_path) == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []
    assert exit_code(tmp_path) == 0


@pytest.mark.parametrize("wish", ["job-ended", "job-claimed.part"])
def test_another_point_lets_the_process_live(tmp_path: Path, wish: str) -> None:
    (tmp_path / wish).touch()

    assert exit_code(tmp_path) == 0


def test_who_is_not_armed_lives() -> None:
    assert exit_code(None) == 0
