import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launcher import LaunchError, processes
from tests.launcher.conftest import Eventually, MakeProcess

WAIT = "import signal; signal.pause()"
TELL_AND_WAIT = "import pathlib, signal; pathlib.Path('ready').touch(); signal.pause()"
IGNORE_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
WITH_GRANDCHILD = f"""
import pathlib, signal, subprocess, sys
code = "{IGNORE_SIGTERM}; import pathlib; pathlib.Path('ready').touch(); signal.pause()"
child = subprocess.Popen([sys.executable, "-c", code])
pathlib.Path("grandchild").write_text(str(child.pid))
signal.pause()
"""


def test_stop_ends_grandchildren_that_do_not_want_to(
    folder: Path, make_process: MakeProcess, eventually: Eventually
) -> None:
    process = make_process(WITH_GRANDCHILD)
    process.start()
    eventually((folder / "ready").exists)

    process.stop()

    grandchild = int((folder / "grandchild").read_text())
    eventually(lambda: processes.birth(grandchild) is None)


def test_grandchildren_end_with_a_child_that_was_killed(
    folder: Path, make_process: MakeProcess, eventually: Eventually
) -> None:
    process = make_process(WITH_GRANDCHILD)
    process.start()
    eventually((folder / "ready").exists)

    os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: process.exit_code() == -signal.SIGKILL)

    grandchild = int((folder / "grandchild").read_text())
    eventually(lambda: processes.birth(grandchild) is None)


def test_what_ignores_sigterm_is_killed_after_its_grace(
    folder: Path, make_process: MakeProcess, eventually: Eventually
) -> None:
    process = make_process(f"{IGNORE_SIGTERM}; {TELL_AND_WAIT}", grace_seconds=0.1)
    process.start()
    eventually((folder / "ready").exists)

    process.stop()

    assert process.exit_code() == -signal.SIGKILL


def test_a_second_wish_to_stop_leaves_no_grace(
    folder: Path, make_process: MakeProcess, eventually: Eventually
) -> None:
    process = make_process(f"{IGNORE_SIGTERM}; {TELL_AND_WAIT}", grace_seconds=60)
    process.start()
    eventually((folder / "ready").exists)
    began = time.monotonic()

    processes.stop_all([process], hurried=lambda: True)

    assert time.monotonic() - began < 5


def test_ignored_signals_are_not_inherited(
    make_process: MakeProcess, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = make_process("import signal; print(signal.getsignal(signal.SIGINT), flush=True)")

    try:
        process.start()
        eventually(lambda: not process.is_running())
    finally:
        signal.signal(signal.SIGINT, previous)

    assert "default_int_handler" in process.recent_output()


def test_a_process_that_ends_instead_of_getting_ready_is_reported_with_its_words(
    make_process: MakeProcess,
) -> None:
    process = make_process("import sys, signal; sys.exit('no such table')")
    process.is_ready = lambda: False  # type: ignore[method-assign]

    with pytest.raises(LaunchError, match=r"(?s)exit code 1.*no such table"), process:
        pass


def test_recent_output_is_that_of_the_last_start(
    make_process: MakeProcess, eventually: Eventually
) -> None:
    process = make_process("import os; print('this is', os.getpid())")
    for _ in range(2):
        process.start()
        eventually(lambda: not process.is_running())

    assert process.recent_output() == f"this is {process.pid}"
    assert len(process.log_file.read_text().splitlines()) == 2


def test_a_log_beyond_its_limit_is_set_aside_at_start(
    make_process: MakeProcess, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LOG_LIMIT_BYTES", 10)
    process = make_process("print('new')")
    process.log_file.write_text("this was here before")

    process.start()
    eventually(lambda: not process.is_running())

    assert process.log_file.read_text() == "new\n"
    assert process.log_file.with_name("child.log.1").read_text() == "this was here before"


def test_a_birth_tells_processes_with_the_same_pid_apart(make_process: MakeProcess) -> None:
    process = make_process(WAIT)
    process.start()

    births = {processes.birth(process.pid), processes.birth(process.pid)}
    process.stop()

    assert len(births) == 1
    assert None not in births
    assert processes.birth(process.pid) is None


def test_a_zombie_counts_as_ended(eventually: Eventually) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        eventually(lambda: processes.birth(child.pid) is None)

        assert child.returncode is None
