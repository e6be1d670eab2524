"""What the containers may do: docker-compose.yml and the Dockerfiles, read as files."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
"""The others are images of PostgreSQL and Redis as they come."""

DOCKERFILES = sorted(path.name for path in ROOT.glob("Dockerfile.*"))
AS_USER = {"USER", "EXPOSE", "CMD"}
"""What may come last in an image: nothing that root does."""

Instruction = tuple[str, str]


def last_stage(dockerfile: str) -> list[Instruction]:
    """Its instructions, each with what follows on its line."""
    text = (ROOT / dockerfile).read_text().replace("\\\n", " ")
    lines = [line.partition(" ") for line in text.splitlines() if line and line[0] != "#"]
    start = max(number for number, (name, _, _) in enumerate(lines) if name == "FROM")
    return [(name, rest) for name, _, rest in lines[start:]]


def writable(service: dict[str, Any]) -> set[str]:
    """Where it can write, if its root file system is read-only."""
    mounts = [*service.get("volumes", []), *service.get("tmpfs", [])]
    return {mount for mount in mounts if not str(mount).endswith(":ro")}


def passwords(service: dict[str, Any]) -> Iterator[str]:
    """All that it is told, as variables, in URLs and as arguments."""
    for variable, value in service["environment"].items():
        if re.search("PASSWORD|AUTH", variable):
            yield value
        yield from re.findall(r"://\w*:(.+)@", value)
    for option, value in pairwise(service.get("command", [])):
        if option == "--requirepass":
            yield value


def test_there_is_something_to_look_at() -> None:
    assert {"api", "worker", "worker-questions", "flower", "migrate"} <= set(OURS)
    assert DOCKERFILES == ["Dockerfile.api", "Dockerfile.worker"]
    assert {SERVICES[name]["build"]["dockerfile"] for name in OURS} == set(DOCKERFILES)


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_can_do_nothing_but_its_work(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service  # The image's own, who is not root.


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_writes_to_named_volumes_and_tmp_alone(name: str) -> None:
    places = writable(SERVICES[name])

    assert all(place == "/tmp" or place.partition(":")[0] in COMPOSE["volumes"] for place in places)


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_reaches_the_machine(name: str) -> None:
    service = SERVICES[name]

    assert not service.keys() & {
        *("privileged", "cap_add", "devices", "network_mode", "pid", "ipc", "userns_mode"),
    }
    assert all(str(mount)[0] != "." for mount in writable(service))
    assert "docker.sock" not in str(service)


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_to_this_machine_unless_it_is_told_otherwise(name: str) -> None:
    ports = SERVICES[name].get("ports", [])

    assert bool(ports) == (name in {"api", "flower"})
    assert all(port.startswith("${HOST:-127.0.0.1}:") for port in ports)


@pytest.mark.parametrize("name", SERVICES)
def test_passwords_are_the_operators(name: str) -> None:
    """Compose refuses to start without them."""
    found = list(passwords(SERVICES[name]))

    assert found != []
    assert all(re.fullmatch(r"\$\{\w+:\?[^}]+\}", password) for password in found)


def test_the_example_of_what_compose_reads_has_no_password() -> None:
    example = (ROOT / ".env.example").read_text()

    assert re.findall(r"^\w*PASSWORD\w*=(.*)$", example, re.MULTILINE) == ["", ""]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_that_stays_is_watched(name: str) -> None:
    service = SERVICES[name]

    assert ("healthcheck" in service) == (service["restart"] != "no")


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_an_image_runs_as_a_user_who_owns_no_code(dockerfile: str) -> None:
    stage = last_stage(dockerfile)
    names = [name for name, _ in stage]
    user = stage[names.index("USER")][1]

    assert set(names[names.index("USER") :]) <= AS_USER
    assert names.count("USER") == 1
    assert any(re.search(rf"useradd --uid [1-9]\d+ .* {user}\b", rest) for _, rest in stage)
    assert all("--chown" not in rest and "--chmod" not in rest for _, rest in stage)


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_an_image_holds_code_alone(dockerfile: str) -> None:
    """Not the whole folder, in which `.env`, data and logs may lie."""
    copied = [rest.split()[-2] for name, rest in last_stage(dockerfile) if name == "COPY"]

    assert set(copied) <= {"/venv", "shared", "api", "worker"}
