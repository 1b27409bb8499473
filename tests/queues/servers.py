"""Real brokers for tests: processes of our own on free ports and folders, killed and started again at will."""

import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path

import pytest

_BOOT_SECONDS_MAX = 180
_RABBIT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server(ABC):
    """A broker's process; its folder survives `kill`."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> tuple[list[str], dict[str, str]]:
        """The command line and the environment of its own."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it speaks its protocol by now."""

    @property
    @abstractmethod
    def url(self) -> str: ...

    def start(self) -> None:
        command, env = self.command()
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=os.environ | env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + _BOOT_SECONDS_MAX
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > end:
                tail = (self.folder / "log").read_text(errors="replace")[-2000:]
                self.kill()
                pytest.fail(f"{self.name} did not start:\n{tail}")
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9, its children too."""
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def close(self) -> None:
        self.kill()

    def spoken(self, said: bytes, heard: bytes) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as wire:
                wire.settimeout(2)
                if said:
                    wire.sendall(said)
                return wire.recv(64).startswith(heard)
        except OSError:
            return False


class NatsServer(Server):
    name = "nats"

    def command(self) -> tuple[list[str], dict[str, str]]:
        store = str(self.folder / "jetstream")
        binary = shutil.which("nats-server") or "/usr/sbin/nats-server"
        return [binary, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", store], {}

    def answers(self) -> bool:
        return self.spoken(b"", b"INFO ")

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"


class RabbitServer(Server):
    name = "rabbitmq"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._names_port, self._node_port = free_port(), free_port()
        (folder / "plugins").write_text("[].")

    def command(self) -> tuple[list[str], dict[str, str]]:
        folder = str(self.folder)
        env = {
            "HOME": folder,
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": f"{folder}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/logs",
            "RABBITMQ_NODENAME": f"waypost{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._node_port),
            # It shares the machine with the rest of the suite.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
        }
        return [str(_RABBIT)], env

    def answers(self) -> bool:
        return self.spoken(b"AMQP\x00\x00\x09\x01", b"\x01\x00\x00")

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def close(self) -> None:
        super().close()
        # Erlang's name server is a daemon apart; it is ours alone, on a port of its own.
        env = os.environ | {"ERL_EPMD_PORT": str(self._names_port)}
        subprocess.run(["epmd", "-kill"], env=env, capture_output=True, timeout=10, check=False)


def require(name: str) -> type[Server]:
    """The server's class. In CI its absence fails; elsewhere the marked tests are skipped, saying so."""
    kind, there = {
        "nats": (NatsServer, shutil.which("nats-server") or Path("/usr/sbin/nats-server").exists()),
        "rabbitmq": (RabbitServer, _RABBIT.exists()),
    }[name]
    if not there:
        if os.environ.get("WAYPOST_CI"):
            pytest.fail(f"CI requires {name}-server: .ci/run installs it")
        pytest.skip(f"no {name}-server here: install the system's package to run these tests")
    return kind
