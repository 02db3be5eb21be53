"""Draws the state tables into docs/states.md: a Mermaid diagram of each machine, and the same as a grid.

    python scripts/state_diagrams.py             write docs/states.md
    python scripts/state_diagrams.py --check     exit 1 if docs/states.md is not what the tables say

The tables execute; nothing here knows more about them than they say themselves.
"""

from __future__ import annotations

import argparse
import difflib
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from duplexcore.call.tables import CLIENT_RECEIVE, RECEIVE_FAULTS, SEND, SERVER_RECEIVE, Hear, Receive, Say, Send
from duplexcore.connection.tables import CONNECTION, ConnectionState, Turn
from duplexcore.http2.tables import STREAM, Step, StreamState
from duplexcore_anyio.channel_state import CHANNEL, ChannelState, ChannelTurn

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "states.md"

HEADER = """\
# The states

Drawn from the tables by `make diagrams`; a page that differs from them fails `make check`. What is in no table is not
allowed: from the application it raises `LocalProtocolError` and changes nothing, from the peer it is a fault that ends
the call or the connection. After its end a call hears nothing any more.

A call is two halves, what its application has said and what it has been told. Below them lies the HTTP/2 stream, which
knows what has been framed; above both the connection, and above connections the channel of the transport.
"""


@dataclass(frozen=True)
class Machine:
    """One table with the words that go around it; rows and columns in the order of their enumerations."""

    title: str
    source: str
    text: str
    table: Mapping[Any, IntEnum]
    inputs: type[IntEnum]
    initial: IntEnum
    #: Where the machine ends. Nothing of a final state's own transitions is drawn.
    final: IntEnum


MACHINES = (
    Machine(
        "What an application has said",
        "duplexcore.call.tables.SEND",
        "The send half of a call, on either side. A client is OPEN from the start, since opening is the first thing it "
        "says; a server's first message sends its initial metadata along. FINISH is the server's status. An ENDED call "
        "takes every command and does nothing: its caller could not have known.",
        SEND,
        Say,
        Send.IDLE,
        Send.ENDED,
    ),
    Machine(
        "What a client has been told",
        "duplexcore.call.tables.CLIENT_RECEIVE",
        "LAST_HEADERS is a header list that ends the server's side: trailers, or the whole answer of a server that "
        "sends nothing else (Trailers-Only). FOREIGN: the answer is not gRPC.",
        CLIENT_RECEIVE,
        Hear,
        Receive.IDLE,
        Receive.ENDED,
    ),
    Machine(
        "What a server has been told",
        "duplexcore.call.tables.SERVER_RECEIVE",
        "CLOSED: the client has half-closed. The call itself goes on until the server says its status.",
        SERVER_RECEIVE,
        Hear,
        Receive.IDLE,
        Receive.ENDED,
    ),
    Machine(
        "A stream of HTTP/2",
        "duplexcore.http2.tables.STREAM",
        "RFC 9113 section 5.1, without server push: a lane's view of what has been framed and read.",
        STREAM,
        Step,
        StreamState.IDLE,
        StreamState.CLOSED,
    ),
    Machine(
        "A connection",
        "duplexcore.connection.tables.CONNECTION",
        "READY: the peer's SETTINGS have come. DRAIN: either side has said that it is leaving. CLOSE: nothing goes any "
        "more.",
        CONNECTION,
        Turn,
        ConnectionState.HANDSHAKING,
        ConnectionState.CLOSED,
    ),
    Machine(
        "A channel of the transport",
        "duplexcore_anyio.channel_state.CHANNEL",
        "WANTED: a call, or `connect`, wants a connection. LOST: the connection is over, or its server is leaving. "
        "CLOSE: by this side; or the one connection that there can be was lost.",
        CHANNEL,
        ChannelTurn,
        ChannelState.IDLE,
        ChannelState.SHUTDOWN,
    ),
)


def diagram(machine: Machine) -> Iterator[str]:
    """Mermaid text; all inputs that lead from one state to the same other one share an arrow."""
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    direction LR"
    yield f"    [*] --> {machine.initial.name}"
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, what), following in machine.table.items():
        if state != machine.final:
            arrows.setdefault((state.name, following.name), []).append(what.name)
    for (state_name, following_name), names in arrows.items():
        yield f"    {state_name} --> {following_name}: {', '.join(names)}"
    yield f"    {machine.final.name} --> [*]"
    yield "```"


def grid(machine: Machine) -> Iterator[str]:
    """A Markdown table: one row a state, one column an input; in the cells the next state, or ·."""
    used = {what for _, what in machine.table}
    columns = [what for what in machine.inputs if what in used]
    rows = [state for state in type(machine.initial) if state in {*machine.table.values(), machine.initial}]
    cells = [["", *(what.name for what in columns)]]
    for state in rows:
        following = (machine.table.get((state, what)) for what in columns)
        cells.append([f"**{state.name}**", *("·" if next_ is None else next_.name for next_ in following)])
    widths = [max(len(row[column]) for row in cells) for column in range(len(columns) + 1)]
    for number, row in enumerate(cells):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        if number == 0:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"


def faults() -> Iterator[str]:
    """How a call ends when its peer does what the tables do not allow."""
    yield "## Faults of the peer"
    yield ""
    yield "`duplexcore.call.tables.RECEIVE_FAULTS`: what a peer that breaks the order is told, and the application."
    yield ""
    yield "| state | what came | status | code to the peer | text |"
    yield "|---|---|---|---|---|"
    for (state, what), fault in RECEIVE_FAULTS.items():
        yield f"| {state.name} | {what.name} | {fault.code.name} | {fault.reset.name} | {fault.text} |"


def page() -> str:
    """The whole document."""
    lines = [HEADER]
    for machine in MACHINES:
        lines += [f"## {machine.title}", "", textwrap.fill(f"`{machine.source}`. {machine.text}", 120), ""]
        lines += [*diagram(machine), "", *grid(machine), ""]
    lines += faults()
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="The state diagrams of the docs, from the tables.")
    parser.add_argument("--check", action="store_true", help="exit 1 if docs/states.md is stale")
    check = parser.parse_args(argv).check
    written = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    drawn = page()
    if not check:
        PAGE.write_text(drawn, encoding="utf-8")
        return 0
    if written != drawn:
        lines = difflib.unified_diff(
            written.splitlines(), drawn.splitlines(), "docs/states.md", "the tables", lineterm=""
        )
        print("\n".join(lines))
        print("docs/states.md is stale: run `make diagrams`", file=sys.stderr)
        return 1
    print("docs/states.md: up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
