import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from launcher import LaunchError, environment
from launcher.environment import DEV_LOCK, PRODUCT_LOCK, Environment
from tests.launcher.conftest import Eventually

RUN = Path(__file__).resolve().parents[2] / "run.py"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose lock files list nothing."""
    for name in (PRODUCT_LOCK, DEV_LOCK):
        (tmp_path / name).write_text("# nothing\n")
    return tmp_path


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lock files that were installed, in order; nothing really is."""
    names: list[str] = []

    def fill(self: Environment, lock_file: Path) -> None:
        names.append(lock_file.name)
        self.python.parent.mkdir(parents=True, exist_ok=True)
        self.python.touch()

    monkeypatch.setattr(Environment, "fill", fill)
    return names


def test_a_warm_start_installs_nothing(project: Path, filled: list[str]) -> None:
    environment.install(project)
    environment.install(project)

    assert filled == [PRODUCT_LOCK]


def test_what_the_tests_need_serves_the_product_too(project: Path, filled: list[str]) -> None:
    environment.install(project, dev=True)
    environment.install(project)

    assert filled == [DEV_LOCK]


def test_a_changed_lock_file_is_installed(project: Path, filled: list[str]) -> None:
    environment.install(project)
    (project / PRODUCT_LOCK).write_text("# nothing new\n")

    environment.install(project)

    assert filled == [PRODUCT_LOCK, PRODUCT_LOCK]


def test_another_python_gets_another_environment(
    project: Path, filled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.install(project)
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))

    environment.install(project)

    assert filled == [PRODUCT_LOCK, PRODUCT_LOCK]


def test_two_starts_at_once_install_once(
    project: Path, filled: list[str], eventually: Eventually, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Environment(project / ".venv")
    first.folder.mkdir()
    with first.locked():
        second = threading.Thread(target=environment.install, args=(project,))
        second.start()
        eventually(lambda: "Waiting for another start" in capsys.readouterr().out)
        environment_contents = environment._contents(project, PRODUCT_LOCK)
        first.fill(project / PRODUCT_LOCK)
        first.mark(environment_contents)
    second.join()

    assert filled == [PRODUCT_LOCK]


def test_a_half_done_environment_is_made_anew(project: Path) -> None:
    rest = project / ".venv" / "lib" / "half-done"
    rest.mkdir(parents=True)

    python = environment.install(project)

    assert not rest.exists()
    subprocess.run([python, "-c", "import sys; assert sys.prefix != sys.base_prefix"], check=True)


def test_a_failed_installation_is_not_taken_for_a_good_one(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Environment, "_installer", lambda _: [shutil.which("false")])

    with pytest.raises(LaunchError, match="installing the packages failed"):
        environment.install(project)

    assert Environment(project / ".venv").contents() == set()


def test_a_python_without_venv_is_told_what_to_install(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr("shutil.which", lambda _: None)

    with pytest.raises(LaunchError, match="apt install python3-venv"):
        environment.install(project)


def test_help_needs_no_environment() -> None:
    done = subprocess.run(
        [sys.executable, "-I", RUN, "--help"], check=True, capture_output=True, text=True
    )

    assert done.stdout.startswith("usage: python3 run.py")


def test_an_unknown_command_is_refused() -> None:
    done = subprocess.run([sys.executable, RUN, "start"], check=False, capture_output=True)

    assert done.returncode == 1
    assert done.stderr.startswith(b"usage:")
