"""Start one of the worker's processes: `python -m worker records`, `questions` or `flower`."""

import sys
from pathlib import Path

from worker.app import QUESTION_THREADS, app, set_up_logs, settings


def _worker(group: str, *pool: str, queues: str) -> list[str]:
    return [
        "--quiet",  # Its banner is no line of a log.
        "worker",
        f"--queues={queues}",
        f"--hostname={group}@%h",
        "--without-gossip",
        "--without-mingle",
        *pool,
    ]


def main() -> None:
    set_up_logs()  # Celery does it for its workers alone, and too late for its first warnings.
    # What Celery says there when it is told to stop goes past all logging.
    sys.__stdout__ = None  # type: ignore[misc]
    match sys.argv[1:]:
        case ["records"]:
            # One process per core: LAME keeps a core busy.
            pool = ("--pool=prefork", f"--concurrency={settings.worker_concurrency}")
            # The first queue goes first: a voice note does not wait behind a long recording.
            app.start(_worker("records", *pool, queues="records,segments"))
        case ["questions"]:
            # Threads: this work waits for other people's servers.
            pool = ("--pool=threads", f"--concurrency={QUESTION_THREADS}")
            app.start(_worker("questions", *pool, queues="questions"))
        case ["flower"]:
            app.start(["flower", f"--conf={Path(__file__).with_name('flowerconfig.py')}"])
        case _:
            sys.exit("usage: python -m worker records|questions|flower")


if __name__ == "__main__":
    main()
