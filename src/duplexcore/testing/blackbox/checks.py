"""What is checked, and what a run is about: the server, its methods, the bounds, the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from duplexcore.testing.probe.model import UNKNOWN, Target
from duplexcore.testing.sim.choosing import Chooser

__all__ = ["CHECKS", "Callee", "CheckError", "Limits", "Log", "Server"]

#: Number of each check of calls -> its sentence.
CHECKS: Final = {
    "B1": "A call that is half-closed, or whose time is over, ends, within the grace.",
    "B2": "DATA never exceeds the credit that the server was given, on the stream and on the connection.",
    "B3": "SETTINGS and PING are acknowledged, PING with its payload.",
    "B4": "What comes on a call is what some server that keeps the rules could send.",
    "B5": "The connection stays, and after all calls a plain one is answered as it was at first.",
    "B6": "Credit comes back: after all calls, cancelled ones too, a message as large as the window is taken.",
    "B7": "Calls that have ended leave their places: none is refused below SETTINGS_MAX_CONCURRENT_STREAMS.",
    "B8": "A method with one response answers OK with one message, and never sends two.",
    "B9": "The ids of GOAWAY never rise.",
}

#: Lines at the beginning and at the end of a log that are shown.
SHOWN = 40
#: Bytes of each side that a log keeps.
KEPT_BYTES = 128 * 1024


class CheckError(AssertionError):
    """The server did what it must not. ``number``: of `CHECKS`."""

    def __init__(self, number: str, what: str) -> None:
        super().__init__(f"{number}: {what}")
        self.number = number


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a run contains, at most. ``messages``: requests of a call that may have many."""

    calls: int = 4
    messages: int = 3


@dataclass(frozen=True, kw_only=True)
class Callee:
    """A method, as far as calls need to know it.

    ``many_requests``: its requests are a stream. ``one_response``: it answers OK with one message; False also where
    that is not known. ``draw``: bytes of a request, without prefix; ``plain``: those of a plain call. ``usual``: how a
    plain call ends, like "OK"; "" for one that only ends when the client ends it.
    """

    path: str
    many_requests: bool
    one_response: bool
    draw: Callable[[Chooser], bytes]
    plain: bytes = b""
    usual: str = ""

    @classmethod
    def of(cls, target: Target) -> Callee:
        """The method that a target names, whose requests are always the same."""
        message = target.message
        return cls(
            path=target.path,
            many_requests=target.kind == "duplex",
            one_response=False,
            draw=lambda _: message,
            plain=message,
        )

    @classmethod
    def of_nobody(cls) -> Callee:
        """A method that no server has."""
        return cls(path=UNKNOWN, many_requests=False, one_response=False, draw=lambda _: b"")


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where it is, the methods that are called, and the one that plain calls go to, which ends by itself."""

    target: Target
    callees: tuple[Callee, ...]
    plain: Callee


@dataclass(slots=True)
class Log:
    """What went over the connection, a line each: ``-->`` from here, ``<--`` from the server; and its bytes."""

    lines: list[str] = field(default_factory=list)
    calls: int = 0
    sent: bytearray = field(default_factory=bytearray)
    came: bytearray = field(default_factory=bytearray)

    def __str__(self) -> str:
        left_out = len(self.lines) - 2 * SHOWN
        if left_out <= 0:
            return "\n".join(self.lines) + "\n"
        return "\n".join([*self.lines[:SHOWN], f"    ({left_out} more)", *self.lines[-SHOWN:]]) + "\n"

    @property
    def wire(self) -> dict[str, str]:
        """The first bytes of each side, in hexadecimal."""
        return {"client": bytes(self.sent[:KEPT_BYTES]).hex(), "server": bytes(self.came[:KEPT_BYTES]).hex()}
