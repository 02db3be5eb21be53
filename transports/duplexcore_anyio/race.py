"""The addresses of a server, tried one after the other without waiting for the slow ones (RFC 8305, CHAN-9)."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Protocol, TypeVar

import anyio

from .errors import ConnectError, HostNotFoundError
from .targets import Place, TcpTarget
from .tasks import sole

__all__ = ["STAGGER", "Address", "first_ready", "resolve"]

#: Between the starts of two attempts: seconds.
STAGGER = 0.25


class _Closes(Protocol):
    def close(self) -> None: ...


AddressT = TypeVar("AddressT")
ReadyT = TypeVar("ReadyT", bound=_Closes)


@dataclass(frozen=True, slots=True)
class Address:
    """Where one attempt goes, and what the user calls it."""

    place: Place
    target: Place

    def __str__(self) -> str:
        return str(self.place) if self.place == self.target else f"{self.target} ({self.place})"


async def resolve(targets: Sequence[Place]) -> list[Address]:
    """The addresses of the targets, families in turn. Raises `HostNotFoundError`."""
    found: list[Address] = []
    for target in targets:
        if not isinstance(target, TcpTarget) or target.ip is not None:
            found.append(Address(target, target))
            continue
        try:
            infos = await anyio.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise HostNotFoundError(f"no such host: {target.host!r} ({error.strerror}): check the name") from error
        except UnicodeError as error:
            raise HostNotFoundError(f"no such host: {target.host!r} ({error}): check the name") from error
        found += (Address(TcpTarget(str(info[4][0]), int(info[4][1])), target) for info in infos)
    return interleaved(list(dict.fromkeys(found)))


def interleaved(addresses: Sequence[Address]) -> list[Address]:
    """The families in turn, beginning with that of the first address; their own order stays."""
    families: dict[bool, list[Address]] = {}
    for address in addresses:
        families.setdefault(isinstance(address.place, TcpTarget) and ":" in address.place.host, []).append(address)
    return [address for turn in zip_longest(*families.values()) for address in turn if address is not None]


async def first_ready(addresses: Sequence[AddressT], attempt: Callable[[AddressT], Awaitable[ReadyT]]) -> ReadyT:
    """What the first attempt that succeeds gives; the others are cancelled. The next one starts when one has failed,
    or has taken `STAGGER` seconds. Raises the last attempt's `ConnectError` when all have failed."""
    winners: list[ReadyT] = []
    errors: list[ConnectError] = []

    async def run(address: AddressT, failed: anyio.Event) -> None:
        try:
            ready = await attempt(address)
        except ConnectError as error:
            errors.append(error)
            failed.set()
            return
        if winners:
            ready.close()  # it was as quick, and is not needed
        else:
            winners.append(ready)
            tasks.cancel_scope.cancel()

    if len(addresses) == 1:
        return await attempt(addresses[0])
    try:
        async with anyio.create_task_group() as tasks:
            for address in addresses:
                failed = anyio.Event()
                tasks.start_soon(run, address, failed)
                with anyio.move_on_after(STAGGER):
                    await failed.wait()
    except BaseException as error:  # noqa: BLE001 - cancelled from outside, or a defect
        for ready in winners:
            ready.close()
        raise sole(error) from None
    if not winners:
        raise errors[-1]
    return winners[0]
