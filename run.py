"""The front door: `python3 run.py` starts the whole product, and needs nothing but Python.

Everything here runs under whatever Python the machine has, so this file keeps to syntax that an
old one can parse: otherwise it could not say that it is too old.
"""

import os
import sys

PROJECT = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - As old as can be.

USAGE = """\
usage: python3 run.py [command]

  run                   start Quaver: database, broker, API, workers, dashboard (the default)
  test [arguments...]   run the tests; the arguments are pytest's
  psql [arguments...]   open the database, embedded or given, in psql
  install [--dev]       only make the environment .venv, with --dev for tests and checks too

Settings are environment variables or lines of a file .env here; README.md lists them.
For example: PORT=8001 python3 run.py"""


def main(arguments: "list[str]") -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - To be told so is why an old Python is here.
        sys.exit(
            "Quaver needs Python 3.11 or newer, and this is %d.%d: "  # noqa: UP031
            "install a newer one and start this with it, e.g. python3.11 run.py"
            % sys.version_info[:2]
        )
    if os.name != "posix":
        sys.exit("Quaver runs on Linux and macOS; on Windows use WSL, or docker compose up.")
    command, rest = (arguments or ["run"])[0], arguments[1:]
    if command in ("-h", "--help", "help"):
        print(USAGE)
    elif command in ("test", "psql") or [command, *rest] in (
        ["run"],
        ["install"],
        ["install", "--dev"],
    ):
        start(command, rest)
    else:
        sys.exit(USAGE)


def start(command: str, rest: "list[str]") -> None:
    from launcher import LaunchError, environment  # noqa: PLC0415 - Not before the check above.

    # Settings' relative paths and `.env` mean the project's folder, from wherever it is started.
    os.chdir(PROJECT)
    dev = command == "test" or rest == ["--dev"]
    try:
        python = environment.install(dev=dev)
    except LaunchError as error:
        sys.exit(f"Cannot prepare the environment: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    modules = {"run": "launcher.product", "test": "pytest", "psql": "launcher.psql"}
    if command in modules:
        # The same process goes on inside the environment, so that signals and exit codes need
        # nobody to pass them on.
        os.execv(python, [str(python), "-m", modules[command], *rest])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
