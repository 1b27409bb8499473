"""The two doors: a TCP socket for callers and a Unix socket (0600, beside the database) for this machine's operator."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from waypost.config import Config, Http
from waypost.domain.errors import Unavailable

# The kernel's limit on a Unix socket's path, less a margin; longer ones go through a short alias of their folder.
_PATH_BYTES_MAX = 100


def local_path(config: Config) -> Path:
    """Give the operator's socket: `waypost.sock` in the folder of the database."""
    return Path(config.store.path).absolute().parent / "waypost.sock"


@contextlib.contextmanager
def short_name(path: Path) -> Iterator[str]:
    """Give a name of `path` that fits into a socket address, for the time of a bind or connect."""
    if len(os.fsencode(path)) <= _PATH_BYTES_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen_tcp(http: Http) -> socket.socket:
    """Bind the callers' door; raises `Unavailable` with what to do when it is taken."""
    family = socket.AF_INET6 if ":" in http.host else socket.AF_INET
    # Named TCP: asyncio switches Nagle's wait off only for sockets whose protocol it can read.
    door = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((http.host, http.port))
    except OSError as error:
        door.close()
        raise Unavailable(
            f"cannot listen on {http.host} port {http.port}: {error.strerror}",
            code="port_taken",
            remedy="stop what uses it, or set WAYPOST_HTTP_PORT",
        ) from None
    door.listen(2048)
    door.setblocking(False)
    return door


def listen_local(path: Path) -> socket.socket:
    """Bind the operator's door, for this user alone. The caller holds the database, so a leftover is nobody's."""
    path.unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with short_name(path) as name:
            door.bind(name)
    finally:
        os.umask(before)
    door.listen(128)
    door.setblocking(False)
    return door
