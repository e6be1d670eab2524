"""What an operator may set, from the environment or a file `.env` in the current folder.

Only the composition roots (`api/app.py`, `worker/app.py`, `launcher/product.py`, migrations) load
this; everything else is handed values. A setting given as an empty string counts as not given,
which is how compose files and shells say "default".
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared import logs, sources

GIBIBYTE = 1 << 30


class SettingsError(Exception):
    """A setting cannot be used; the message names it, its value and what is allowed."""


def usable_cpus() -> int:
    """CPUs this process may run on, which in a container can be fewer than the machine has."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Settings(BaseSettings):
    """One attribute per variable: `max_upload_bytes` is `MAX_UPLOAD_BYTES`."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    public_url: str | None = Field(default=None, pattern=r"^https?://[^/?#\s]+(/[^?#\s]*)?$")
    flower_port: int = Field(default=5555, ge=1, le=65535)
    flower_basic_auth: str | None = Field(default=None, pattern=r"^[^:\s]+:\S+$")

    data_dir: Path = Path(".data")
    database_url: str | None = Field(default=None, pattern=r"^postgres(ql)?://")
    redis_url: str | None = Field(default=None, pattern=r"^rediss?://")
    uploads_url: str | None = Field(
        default=None, pattern=r"^(file:///|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^?#\s]*)?$)"
    )

    question_sources: Annotated[dict[str, str | None], NoDecode] = Field(
        default={"jservice": None, "opentdb": None, "bank": None}
    )
    """Source name → base URL, or None for the source's own; in the order they are asked."""

    mp3_quality: int = Field(default=2, ge=0, le=9)
    worker_concurrency: int = Field(default_factory=usable_cpus, ge=1, le=1024)

    max_upload_bytes: int = Field(default=2 * GIBIBYTE, ge=1)
    max_duration_seconds: int = Field(default=86_400, ge=1)
    max_bytes_per_user: int | None = Field(default=None, ge=1)
    max_questions_per_request: int = Field(default=1000, ge=1, le=1000)

    max_connections: int = Field(default=4096, ge=1)
    request_head_seconds: float = Field(default=20, gt=0)
    upload_stall_seconds: float = Field(default=30, gt=0)
    download_stall_seconds: float = Field(default=30, gt=0)
    upload_min_bytes_per_second: int = Field(default=8192, ge=0)
    max_concurrent_uploads: int = Field(default=256, ge=1)
    upload_expiry_seconds: float = Field(default=86_400, gt=0)

    record_wait_seconds: float = Field(default=900, ge=0)
    questions_wait_seconds: float = Field(default=30, ge=0)

    job_lease_seconds: float = Field(default=60, ge=1)
    sweep_seconds: float = Field(default=5, ge=0.1)
    job_max_attempts: int = Field(default=3, ge=1)

    log_format: logs.Format = "text"
    log_level: logs.Level = "info"
    otel_exporter_otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://")

    crash_points: Path | None = None
    """For tests alone: see `shared/crashpoints.py`."""

    @classmethod
    def load(cls) -> Self:
        """The settings of this process.

        Raises:
            SettingsError: a variable's value is not allowed.
        """
        try:
            return cls()
        except ValidationError as error:
            lines = (f"{_variable(e['loc'])}: {e['msg']}" for e in error.errors())
            raise SettingsError("; ".join(lines)) from None

    @field_validator("data_dir")
    @classmethod
    def _make_absolute(cls, folder: Path) -> Path:
        return folder.expanduser().absolute()

    @field_validator("log_format", "log_level", mode="before")
    @classmethod
    def _lower(cls, word: str) -> str:
        return word.lower()

    @field_validator("public_url")
    @classmethod
    def _without_trailing_slash(cls, url: str | None) -> str | None:
        return url.rstrip("/") if url else url

    @field_validator("question_sources", mode="before")
    @classmethod
    def _parse_sources(cls, value: str | dict[str, str | None]) -> dict[str, str | None]:
        if not isinstance(value, str):
            return value
        pairs = (item.strip().partition("=") for item in value.split(",") if item.strip())
        urls = {name.strip(): url.strip() or None for name, _, url in pairs}
        if not urls or not urls.keys() <= sources.KNOWN.keys():
            raise ValueError(f"must be some of {', '.join(sources.KNOWN)}, with commas between")
        if urls.get(sources.BANK.name):
            raise ValueError("bank is a part of this program and has no base URL")
        return urls

    @property
    def uploads(self) -> str:
        """URL of the place where uploads wait for their conversion."""
        return self.uploads_url or (self.data_dir / "uploads").as_uri()


def _variable(location: tuple[int | str, ...]) -> str:
    return str(location[0]).upper() if location else "settings"
