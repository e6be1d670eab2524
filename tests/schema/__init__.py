"""Schemathesis against the service: does it do what /openapi.json says, and nothing else?

It makes requests out of the document, right and wrong ones, follows the document's links, and
compares every answer with what the document says of it.
"""

import subprocess
import sys
from pathlib import Path

from tests import jservice
from tests.jservice import Exchange
from tests.stack import User

FOLDER = Path(__file__).parent


def serve_new(exchange: Exchange, count: int) -> None:
    """As many clues as are wanted, none of which was there before."""
    upstream = exchange.upstream
    with upstream.lock:
        first = len(upstream.items) + 1
        clues = jservice.make_clues(min(count, jservice.MOST_PER_REQUEST), first)
        upstream.items = [*upstream.items, *clues]
    exchange.reply(clues)


def run(user: User, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Have Schemathesis call the API in the name of this user; it works in `folder`."""
    command = [sys.executable, "-m", "schemathesis.cli"]
    command += ["--config-file", str(FOLDER / "schemathesis.toml")]
    environment = {
        "PATH": "",
        "PYTHONPATH": str(FOLDER.parent.parent),
        "SCHEMATHESIS_HOOKS": "tests.schema.hooks",
        "QUAVER_USER": str(user.id),
        "QUAVER_TOKEN": user.token,
    }
    return subprocess.run(
        [*command, "run", f"{user.api.url}/openapi.json", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
