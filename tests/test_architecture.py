"""The arrows between the parts of the house, and which room each library may be used in."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("api", "worker", "shared", "launcher")

MAY_IMPORT = {
    "api": {"api", "shared"},
    "worker": {"worker", "shared"},
    "shared": {"shared"},
    "launcher": {"launcher", "shared"},
}

DOORS = {
    "fastapi": ("api/",),
    "starlette": ("api/",),
    "uvicorn": ("api/",),
    "python_multipart": ("api/forms.py",),
    "celery": ("worker/app.py", "worker/tasks.py", "shared/jobs.py"),
    "redis": (
        "shared/signals.py",
        "shared/outages.py",
        "shared/tallies.py",
        "worker/app.py",
        "worker/board.py",
        "worker/breaker.py",
        "worker/turns.py",
        "api/",
    ),
    "jinja2": ("api/routes/pages.py",),
    "prometheus_client": ("api/metrics.py",),
    "opentelemetry": ("shared/tracing.py",),
    "alembic": ("shared/migrations/",),
    "requests": ("worker/upstream.py",),
    "boto3": ("shared/bucket.py",),
    "botocore": ("shared/bucket.py",),
    "lameenc": ("worker/encode.py",),
    "soxr": ("worker/resample.py",),
    "pydub": ("worker/decode.py",),
    "subprocess": ("run.py", "launcher/", "worker/decode.py"),
    "numpy": ("worker/", "shared/waveforms.py", "api/waveforms.py"),
}
"""Each library is spoken to through these doors only."""

STANDARD_ONLY = {
    "shared/crashpoints.py": set[str](),
    "shared/errors.py": set(),
    "shared/tags.py": set(),
    "shared/wav.py": {"shared"},
    "worker/id3.py": {"shared"},
    "worker/mp3.py": {"numpy"},
    "worker/reservoir.py": {"worker"},
    "worker/segments.py": {"worker"},
    "worker/join.py": {"worker"},
}
"""Pure knowledge: beside the standard library these import this alone."""

SETTINGS_READERS = {
    "shared/settings.py",
    "shared/migrations/__main__.py",
    "api/__main__.py",
    "worker/app.py",
    "launcher/product.py",
    "launcher/psql.py",
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))


MODULES = dict(modules())


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


def packages(path: str) -> set[str]:
    return {name.partition(".")[0] for name in imports(MODULES[path])}


@pytest.mark.parametrize("path", MODULES)
def test_rooms_import_only_what_they_may(path: str) -> None:
    room = path.partition("/")[0]

    assert packages(path) & set(ROOMS) <= MAY_IMPORT[room]


@pytest.mark.parametrize("path", MODULES)
def test_libraries_are_used_at_their_doors_only(path: str) -> None:
    used = packages(path) & set(DOORS)

    assert {library for library in used if not path.startswith(DOORS[library])} == set()


@pytest.mark.parametrize("path", STANDARD_ONLY)
def test_pure_modules_import_the_standard_library(path: str) -> None:
    assert packages(path) - STANDARD_ONLY[path] <= sys.stdlib_module_names


@pytest.mark.parametrize("path", [p for p in MODULES if not p.startswith("launcher/")])
def test_the_environment_is_read_in_one_place(path: str) -> None:
    names = {node.attr for node in ast.walk(MODULES[path]) if isinstance(node, ast.Attribute)}

    assert "environ" not in names
    assert "getenv" not in names


@pytest.mark.parametrize("path", MODULES)
def test_settings_are_loaded_by_composition_roots_only(path: str) -> None:
    loads = "Settings.load" in ast.unparse(MODULES[path])

    assert not loads or path in SETTINGS_READERS


@pytest.mark.parametrize("path", MODULES)
def test_crash_points_are_armed_by_composition_roots_only(path: str) -> None:
    arms = "crashpoints.arm" in ast.unparse(MODULES[path])

    assert arms == (path in {"api/app.py", "worker/app.py"})
