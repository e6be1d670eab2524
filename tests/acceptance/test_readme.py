"""Every command of the documents works as pasted, and answers as they say."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.acceptance.product import PATIENCE_SECONDS, ROOT, Product

DOCUMENTS = [ROOT / "README.md", ROOT / "docs/recordings.md", ROOT / "docs/questions.md"]
"""In the order in which they are read: each goes on in the same shell."""

ELSEWHERE = ("make ", "cp .env.example")
"""What these begin with is run by others: the product's start, and a Docker engine."""

SEPARATOR = "----- next block -----"


class Block(NamedTuple):
    commands: str
    answer: str
    """What the document says that comes back; empty if it does not say."""


def blocks() -> list[Block]:
    text = "".join(path.read_text() for path in DOCUMENTS)
    fences = re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL)
    followed_by = [*fences[1:], ("", "")]
    return [
        Block(commands, answer if language != "sh" else "")
        for (kind, commands), (language, answer) in zip(fences, followed_by, strict=True)
        if kind == "sh" and not commands.startswith(ELSEWHERE)
    ]


def shape(line: str) -> Any:
    """What must be the same in every run: the members of a JSON object, but not their values."""
    try:
        return list(json.loads(line))
    except ValueError:
        return line if line.startswith("{") else None


def test_every_link_leads_to_a_file() -> None:
    for path in [*DOCUMENTS, ROOT / "CONTRIBUTING.md"]:
        links = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text())

        assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_command_works_as_pasted(folder: Path) -> None:
    replaced = {
        "http://localhost:8000": "$URL_OF_THE_PRODUCT",
        "python3 run.py": f"{sys.executable} {ROOT}/run.py",
        "@README.md": f"@{ROOT}/README.md",
    }
    script = f"\necho; echo '{SEPARATOR}'\n".join(block.commands for block in blocks())
    for readme, here in replaced.items():
        script = script.replace(readme, here)
    with Product(folder) as product:
        shell = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            check=False,
            cwd=folder,
            env=product.environment | {"URL_OF_THE_PRODUCT": product.url},
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_SECONDS,
        )

    assert shell.returncode == 0
    assert (folder / "speech.mp3").stat().st_size > 0
    answers = shell.stdout.split(f"{SEPARATOR}\n")
    assert len(answers) == len(blocks())
    for block, answer in zip(blocks(), answers, strict=True):
        told = [shape(line) for line in block.answer.splitlines()]
        came = [shape(line) for line in answer.replace("}{", "}\n{").splitlines() if line]
        if told and any(told):
            assert came == told, block.commands
