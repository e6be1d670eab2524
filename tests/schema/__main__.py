"""`python -m tests.schema --max-examples 200`: Schemathesis against a service of its own."""

import sys

from launcher import postgres, valkey
from shared import migrations
from tests import folders, jservice, schema
from tests.stack import Stack


def main() -> int:
    """Schemathesis' exit status."""
    with (
        folders.temporary() as folder,
        postgres.temporary() as database,
        valkey.Server(folder / "valkey") as broker,
        jservice.JService(behave=schema.serve_new) as upstream,
    ):
        migrations.upgrade(database.url)
        source = f"jservice={upstream.url}"
        with Stack(folder, database.url, broker.url, QUESTION_SOURCES=source) as stack:
            user = stack.api.new_user("Ann")
            done = schema.run(user, folder, *sys.argv[1:])
            sys.stdout.write(done.stdout + done.stderr)
            return done.returncode


if __name__ == "__main__":
    sys.exit(main())
