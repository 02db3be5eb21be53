"""Addresses to listen at."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
from anyio import TypedAttributeProvider
from anyio.abc import Listener, SocketAttribute, SocketStream

from .errors import AddressInUseError, ListenError
from .targets import TcpTarget, UnixTarget, parse_place

__all__ = ["Listening", "listen", "peer_of"]


class Listening:
    """Sockets that accept connections at one address."""

    def __init__(self, target: TcpTarget | UnixTarget, listeners: Sequence[Listener[SocketStream]]) -> None:
        self.listeners = listeners
        self._socket_file: tuple[str, int] | None = None
        if isinstance(target, UnixTarget):
            #: The address, as a target that `connect` takes; and its port, None for a Unix socket.
            self.address, self.port = str(target), None
            if not target.is_abstract:
                self._socket_file = (target.path, os.stat(target.path).st_ino)  # noqa: PTH116
        else:
            bound = listeners[0].extra(SocketAttribute.local_address)
            self.port = int(bound[1])
            self.address = str(TcpTarget(target.host or "localhost", self.port))

    async def aclose(self) -> None:
        """Accepts no more; removes the file of a Unix socket, if it is still this one's."""
        async with AsyncExitStack() as stack:
            for listener in self.listeners:
                stack.push_async_callback(listener.aclose)
        if self._socket_file is not None:
            path, inode = self._socket_file
            try:
                if os.stat(path).st_ino == inode:  # noqa: PTH116
                    os.unlink(path)  # noqa: PTH108
            except OSError:
                pass


async def listen(address: str) -> Listening:
    """Listens at ``host:port`` (an empty host: every interface; port 0: the system chooses) or ``unix:path``.

    Raises ValueError for what is no address, `AddressInUseError` and `ListenError` when it can not be had.
    """
    target = parse_place(address)
    try:
        if isinstance(target, UnixTarget):
            if not target.is_abstract:
                _clear(target.path)
            return Listening(target, [await anyio.create_unix_listener(target.path)])
        multi = await anyio.create_tcp_listener(local_host=target.host or None, local_port=target.port)
        return Listening(target, multi.listeners)
    except socket.gaierror as error:
        raise ListenError(f"cannot listen at {target}: no such host here ({error.strerror})") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUseError(
                f"{target} is in use: stop what listens there, or choose another port (0: a free one)"
            ) from error
        raise ListenError(f"cannot listen at {target}: {error.strerror or error}") from error


def _clear(path: str) -> None:
    """Removes the socket that a server which is no more has left; one that answers is in use."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):  # noqa: PTH116
            raise ListenError(f"cannot listen at unix:{path}: there is a file that is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # a server whose backlog is full would make it wait
        try:
            probe.connect(path)
        except ConnectionRefusedError:  # any other error, of access say, does not tell that nobody listens
            Path(path).unlink(missing_ok=True)
            return
        except BlockingIOError:
            pass
    raise AddressInUseError(f"unix:{path} is in use: stop the server there, or choose another path")


def peer_of(link: TypedAttributeProvider, default: str) -> str:
    """The other end's address."""
    address = link.extra(SocketAttribute.remote_address, None)
    if isinstance(address, tuple):
        return str(TcpTarget(address[0], address[1]))
    return default if address is None else f"unix:{address}"
