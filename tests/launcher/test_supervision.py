import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from launcher import LaunchError, processes, state
from launcher.supervision import Interrupted, Interrupts, Supervisor, _Watched
from tests.launcher.conftest import Eventually, MakeProcess

PROJECT = Path(__file__).resolve().parents[2]
WAIT = "import signal; signal.pause()"

LAUNCHER = """
import os, sys
from pathlib import Path
from launcher import postgres, valkey
from launcher.processes import Process
from launcher.supervision import Interrupts, Supervisor

folder = Path(sys.argv[1])
with Interrupts() as interrupts:
    supervisor = Supervisor(folder / "run", interrupts)
    try:
        supervisor.end_leftovers()
        database = postgres.Server(folder / "postgres", fsync=False)
        broker = valkey.Server(folder / "redis")
        # Its own child notices by itself when it is killed, as a worker's pool does.
        code = "import subprocess, sys; child = [sys.executable, '-c', 'input()']; " \
            "subprocess.Popen(child, stdin=subprocess.PIPE).wait()"
        worker = Process("worker", [sys.executable, "-c", code], log_file=folder / "worker.log",
                         environment={})
        supervisor.start(database, broker)
        supervisor.start(worker)
        supervisor.wait_until(lambda: database.is_ready() and broker.is_ready(),
                              seconds=30, otherwise=lambda: "not ready")
        (folder / "url").write_text(database.url)
        print("ready", flush=True)
        supervisor.serve()
    finally:
        supervisor.stop()
print("stopped", flush=True)
"""


def wait_until(supervisor: Supervisor, condition: object) -> None:
    assert callable(condition)
    supervisor.wait_until(condition, seconds=15, otherwise=lambda: "that never came true")


def test_a_process_that_dies_is_restarted_at_once(
    supervisor: Supervisor, make_process: MakeProcess, folder: Path, said: list[str]
) -> None:
    process = make_process("import os, signal; os.write(1, b'hello'); signal.pause()")
    supervisor.start(process)
    first = process.pid
    wait_until(supervisor, process.recent_output)

    os.kill(first, signal.SIGKILL)
    wait_until(supervisor, lambda: process.pid != first)

    assert said == ["child was ended by SIGKILL. Restarting it now."]
    assert (folder / "run" / "child.pid").read_text() == f"{process.pid}\n"


def test_pauses_grow_while_a_process_keeps_dying(make_process: MakeProcess) -> None:
    watched = _Watched(make_process(WAIT), started_at=float("inf"))

    pauses = [watched.note_death("ended.") for _ in range(8)]

    assert pauses == [0, 0.5, 1, 2, 4, 8, 10, 10]


def test_a_steady_process_is_restarted_at_once_again(make_process: MakeProcess) -> None:
    watched = _Watched(make_process(WAIT), started_at=float("inf"), deaths=5)
    watched.started_at = float("-inf")

    assert watched.note_death("ended.") == 0


def test_what_keeps_dying_at_the_start_is_reported_with_its_words(
    supervisor: Supervisor, make_process: MakeProcess
) -> None:
    supervisor.start(make_process("import sys; sys.exit('no module named api')"))

    with pytest.raises(LaunchError, match="no module named api"):
        wait_until(supervisor, lambda: False)


def test_a_failed_one_shot_is_reported_with_its_words(
    supervisor: Supervisor, make_process: MakeProcess
) -> None:
    with pytest.raises(LaunchError, match=r"(?s)exit code 1.*no such table"):
        supervisor.run(make_process("import sys; sys.exit('no such table')"), 10)


def test_a_wait_ends_when_the_launcher_is_told_to_stop(
    supervisor: Supervisor, make_process: MakeProcess
) -> None:
    supervisor.start(make_process(WAIT))
    os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        wait_until(supervisor, lambda: False)


def test_stop_removes_what_showed_the_pids(
    supervisor: Supervisor, make_process: MakeProcess, folder: Path
) -> None:
    supervisor.start(make_process(WAIT, "one"), make_process(WAIT, "two"))

    supervisor.stop()

    assert list((folder / "run").iterdir()) == []


def test_leftovers_of_a_killed_launcher_are_ended(
    folder: Path, interrupts: Interrupts, make_process: MakeProcess, said: list[str]
) -> None:
    leftover = make_process(WAIT)
    Supervisor(folder / "run", interrupts, said.append).start(leftover)

    Supervisor(folder / "run", interrupts, said.append).end_leftovers()

    assert leftover.exit_code() == -signal.SIGKILL
    assert not (folder / "run" / "child.pid").exists()


def test_a_process_that_has_a_leftovers_pid_by_now_is_left_alone(
    folder: Path, supervisor: Supervisor, make_process: MakeProcess
) -> None:
    stranger = make_process(WAIT)
    stranger.start()
    note = {"pid": stranger.pid, "birth": "long ago", "signal": 9}
    state.write(folder / "run" / "processes.json", {"api": note})

    supervisor.end_leftovers()

    assert stranger.is_running()


def test_a_wait_ends_with_a_child(interrupts: Interrupts, make_process: MakeProcess) -> None:
    process = make_process("")
    process.start()

    while process.is_running():
        interrupts.wait(60)  # The test's own limit would end it otherwise.


def start_launcher(folder: Path) -> subprocess.Popen[str]:
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(folder)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert launcher.stdout
    for line in launcher.stdout:
        if line == "ready\n":
            return launcher
    raise AssertionError("the launcher ended")


def all_pids(folder: Path) -> list[int]:
    """Those of the launcher's children and of what these started."""
    leaders = [int(file.read_text()) for file in (folder / "run").glob("*.pid")]
    table = subprocess.run(["ps", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True)
    pairs = [tuple(map(int, line.split())) for line in table.stdout.splitlines()]
    return leaders + [pid for pid, parent in pairs if parent in leaders]


def test_a_stopped_launcher_leaves_nothing_running(folder: Path) -> None:
    with start_launcher(folder) as launcher:
        pids = all_pids(folder)
        launcher.terminate()
        output, _ = launcher.communicate(timeout=30)

    assert len(pids) > 6
    assert [pid for pid in pids if processes.birth(pid)] == []
    assert output.endswith("stopped\n")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start ends them")
def test_a_killed_launcher_takes_its_children_along(folder: Path, eventually: Eventually) -> None:
    with start_launcher(folder) as launcher:
        leaders = [int(file.read_text()) for file in (folder / "run").glob("*.pid")]
        launcher.kill()

    assert len(leaders) == 3
    eventually(lambda: not any(map(processes.birth, leaders)))


def test_after_a_kill_the_next_start_works_at_once(folder: Path) -> None:
    with start_launcher(folder) as launcher:
        launcher.kill()
    url = (folder / "url").read_text()

    with start_launcher(folder) as launcher:
        launcher.terminate()
        launcher.communicate(timeout=30)

    assert launcher.returncode == 0
    assert (folder / "url").read_text() == url
