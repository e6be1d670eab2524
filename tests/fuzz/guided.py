"""One target, led by coverage: `python -m tests.fuzz.guided <target> <libFuzzer's arguments>`.

Needs atheris. `python -m tests.fuzz --guided 60` starts this for one target after the other, for
libFuzzer ends its process when it has done.
"""

import logging
import sys

import atheris

with atheris.instrument_imports(include=["api", "shared", "worker", "python_multipart"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    logging.disable()  # Parsers tell of everything that they refuse.
    program, name, *arguments = sys.argv
    atheris.Setup([program, *arguments], TARGETS[name].run)
    atheris.Fuzz()
