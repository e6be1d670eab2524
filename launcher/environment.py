"""The environment `.venv`, made of exactly what a lock file lists; standard library only."""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

from launcher import LaunchError

PROJECT = Path(__file__).resolve().parent.parent
PRODUCT_LOCK = "requirements-embedded.txt"
DEV_LOCK = "requirements-dev.txt"
"""Lists all that `PRODUCT_LOCK` lists, and more: what it installs serves the product too."""


def install(project: Path = PROJECT, *, dev: bool = False) -> Path:
    """Make sure that the project's environment holds what is needed; return its Python.

    A marker, written last, says what the environment holds: without one it may be half-done and
    is made anew, with one of other lock files it is brought up to date, and with the right one
    nothing is done.

    Raises:
        LaunchError: it cannot be made.
    """
    environment = Environment(project / ".venv")
    try:
        environment.folder.mkdir(exist_ok=True)
        wanted = _contents(project, DEV_LOCK if dev else PRODUCT_LOCK)
        with environment.locked():
            if not wanted <= environment.contents():
                environment.fill(project / (DEV_LOCK if dev else PRODUCT_LOCK))
                held = _contents(project, PRODUCT_LOCK)
                environment.mark(wanted | held if dev else wanted)
    except PermissionError as error:
        raise LaunchError(f"{error}; {project} must belong to the user who starts it.") from None
    except OSError as error:
        raise LaunchError(f"{error}.") from None
    return environment.python


class Environment:
    """A virtual environment, the marker that says what it holds, and the lock of who changes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self._marker = folder / "quaver-contents"
        self._lock = folder / "quaver-lock"
        self._lock_descriptor = -1

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Wait until no other start is changing this environment, and keep others waiting.

        What is started meanwhile holds the lock too: an installer whose launcher was killed goes
        on writing for a while.
        """
        with self._lock.open("w") as file:
            self._lock_descriptor = file.fileno()
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _say("Waiting for another start to finish installing ...")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def contents(self) -> set[str]:
        """What was installed completely; nothing if the Python it was made with is gone."""
        if not self._marker.exists() or not self.python.exists():
            return set()
        return set(self._marker.read_text().splitlines())

    def mark(self, contents: set[str]) -> None:
        part = self._marker.with_suffix(".part")
        part.write_text("".join(f"{line}\n" for line in sorted(contents)))
        part.replace(self._marker)

    def fill(self, lock_file: Path) -> None:
        """Install what `lock_file` lists.

        Raises:
            LaunchError: the environment could not be made or the packages not be installed.
        """
        _say(f"Installing {lock_file.name} into {self.folder}: once, up to a minute ...")
        usable = _python_line() in self.contents()
        self._marker.unlink(missing_ok=True)
        if not usable:
            self._clear()
            venv.EnvBuilder(symlinks=True).create(self.folder)
        command = [*self._installer(), "--quiet", "--require-hashes", "--requirement"]
        if not self._succeeds([*command, str(lock_file)]):
            raise LaunchError("installing the packages failed, for the reason above.")

    def _installer(self) -> list[str]:
        """The best of what this machine has for installing into the environment."""
        python = str(self.python)
        if uv := shutil.which("uv"):
            return [uv, "pip", "install", "--python", python]
        if not self._has_pip() and importlib.util.find_spec("ensurepip"):
            # Not by `EnvBuilder(with_pip=True)`: that would not let it hold the lock.
            self._succeeds([python, "-Im", "ensurepip", "--default-pip"], subprocess.DEVNULL)
        if self._has_pip():
            return [python, "-m", "pip", "install", "--disable-pip-version-check"]
        if importlib.util.find_spec("pip"):
            pip = [sys.executable, "-m", "pip", "--python", python]
            return [*pip, "install", "--disable-pip-version-check"]
        raise LaunchError(
            f"this Python ({sys.executable}) comes without venv and pip. Install them "
            "(Debian, Ubuntu: apt install python3-venv), or install uv, and start again."
        )

    def _has_pip(self) -> bool:
        return any(self.folder.glob("lib/python*/site-packages/pip/__main__.py"))

    def _clear(self) -> None:
        """Empty the folder of all but the lock, which others are waiting for."""
        old = Path(tempfile.mkdtemp(prefix="quaver-old-", dir=self.folder))
        for entry in set(self.folder.iterdir()) - {old, self._lock}:
            entry.rename(old / entry.name)
        # Moved away first: whatever still writes there, writes where it does no harm.
        shutil.rmtree(old, ignore_errors=True)

    def _succeeds(self, command: list[str], stdout: int | None = None) -> bool:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            pass_fds=[self._lock_descriptor],
        )
        return done.returncode == 0


def _contents(project: Path, lock_file: str) -> set[str]:
    """The marker's lines for an environment that holds what `lock_file` lists."""
    digest = hashlib.sha256((project / lock_file).read_bytes()).hexdigest()
    return {_python_line(), f"{lock_file} {digest}"}


def _python_line() -> str:
    # The folder of packages is named after these two numbers.
    return "python {}.{} {}".format(*sys.version_info[:2], os.uname().machine)


def _say(text: str) -> None:
    print(text, flush=True)
