"""Client x server x case, over the peers: starts the programs, reads what they say, keeps them in time.

One server of each kind is asked by all clients, and one client process runs all cases; only official programs need a
process a case. Nothing that a program does ends the run: it fails cases.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from .peers.table import Certificates, Peer, known_fault, known_race
from .processes import LISTENING, Program, run_program

__all__ = ["CASES", "Cell", "Limits", "Matrix", "certificates"]

#: The cases of section 22 of docs/requirements.md that two programs can run between them.
CASES = (
    "empty_unary",
    "large_unary",
    "client_compressed_unary",
    "server_compressed_unary",
    "client_streaming",
    "client_compressed_streaming",
    "server_streaming",
    "server_compressed_streaming",
    "ping_pong",
    "empty_stream",
    "custom_metadata",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "cancel_after_begin",
    "cancel_after_first_response",
    "timeout_on_sleeping_server",
    "pick_first_unary",
    "rpc_soak",
    "channel_soak",
)
#: One of the official names of a server under test: clients must check this one, not the address.
_HOST = "foo.test.google.fr"
_VERDICT = re.compile(r"(\S+)\s+(passed|failed|skipped)\b")
#: How duplexcore's client sets what it has to say below a failed case.
_HEADING = re.compile(r"^(\w+)\s{2,}")
#: Of a client's, that wait to be looked at.
_LINES = 12


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: for a server to listen, for a case, for all cases of a pair."""

    start: float = 30.0
    case: float = 30.0
    pair: float = 180.0


@dataclass(frozen=True, slots=True)
class Cell:
    """How one case went: ``verdict`` is passed, failed or skipped; ``note`` says why, or what to know about a pass;
    ``known`` what is known to be wrong with the other implementation, for which the case fails."""

    client: str
    server: str
    tls: bool
    case: str
    verdict: str
    note: str = ""
    known: str = ""


@asynccontextmanager
async def certificates() -> AsyncGenerator[Certificates, None]:
    """A throw-away authority and a server's certificate, as files that are gone afterwards."""
    import trustme

    authority = trustme.CA(organization_name="duplexcore, thrown away after use")
    issued = authority.issue_cert(_HOST, "localhost", "127.0.0.1")
    with tempfile.TemporaryDirectory(prefix="duplexcore-matrix-") as directory:
        folder = Path(directory)
        made = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key", _HOST)
        authority.cert_pem.write_to_path(made.ca)
        issued.private_key_pem.write_to_path(made.key)
        made.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        yield made


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """What to run: the pairs are ``clients`` x ``servers``. ``tls``: which of plain (False) and TLS (True)."""

    clients: Sequence[Peer]
    servers: Sequence[Peer]
    folder: Path
    cases: Sequence[str] = CASES
    tls: Sequence[bool] = (False, True)
    limits: Limits = Limits()
    #: Whether a client and a server are a pair; None: all are.
    wanted: Callable[[Peer, Peer], bool] | None = None

    @property
    def size(self) -> int:
        """How many cells there will be."""
        return sum(len(self._clients_of(server)) for server in self.servers) * len(self.tls) * len(self.cases)

    def _clients_of(self, server: Peer) -> list[Peer]:
        return [client for client in self.clients if self.wanted is None or self.wanted(client, server)]

    async def run(self, *, at_once: int = 0, tell: Callable[[Cell], None] = lambda _: None) -> list[Cell]:
        """All cells; ``tell`` gets each as it comes. ``at_once``: how many servers run, by default one a core."""
        cells: list[Cell] = []
        slots = anyio.CapacityLimiter(at_once or os.cpu_count() or 1)

        def add(cell: Cell) -> None:
            cells.append(cell)
            tell(cell)

        async with certificates() as made, anyio.create_task_group() as tasks:
            for server in self.servers:
                for tls in self.tls:
                    column = _Column(self, server, made if tls else None, add)
                    tasks.start_soon(column.run, self._clients_of(server), slots)
        order = {name: number for number, name in enumerate([peer.name for peer in self.clients])}
        return sorted(cells, key=lambda cell: (cell.tls, order[cell.client], self._place(cell), cell.case))

    def _place(self, cell: Cell) -> int:
        return [server.name for server in self.servers].index(cell.server)


@dataclass(frozen=True, slots=True)
class _Column:
    """One server, and the clients that ask it."""

    matrix: Matrix
    server: Peer
    certificates: Certificates | None
    add: Callable[[Cell], None]

    async def run(self, clients: Iterable[Peer], slots: anyio.CapacityLimiter) -> None:
        left = list(clients)
        async with slots:
            while left:
                left = await self._with_server(left)

    async def _with_server(self, clients: list[Peer]) -> list[Peer]:
        """Asks one server process until it is gone; returns the clients that are left then."""
        async with self._serving() as (program, port, fault):
            for number, client in enumerate(clients):
                pair = _Pair(self, client, port)
                if fault:
                    pair.fail(self.matrix.cases, fault)
                    continue
                await pair.run()
                if program.process.returncode is not None:
                    return clients[number + 1 :]
        return []

    @asynccontextmanager
    async def _serving(self) -> AsyncGenerator[tuple[Program, int, str], None]:
        """The server's program and its port, once it listens; or why it does not."""
        port, fault, up = 0, "", anyio.Event()

        async def hear(line: str) -> None:
            nonlocal port
            if not port and (found := LISTENING.search(line)):
                port = int(found[1])
                up.set()

        command = [*self.server.command("server", self.matrix.folder, self.certificates), "--port=0"]
        limit = self.matrix.limits.start
        async with run_program(command, self.server.environ("server", self.matrix.folder), hear, up.set) as program:
            with anyio.move_on_after(limit) as scope:
                await up.wait()
                if not port:
                    fault = f"the server {await program.ended()}"
            if scope.cancelled_caught:
                fault = f"the server did not listen within {limit:g} s: {program.last_words}"
            yield program, port, fault


@dataclass(frozen=True, slots=True)
class _Pair:
    """A client against the server that listens on a port."""

    column: _Column
    client: Peer
    port: int

    async def run(self) -> None:
        server, cases = self.column.server, self.column.matrix.cases
        left: list[str] = []
        for case in cases:
            why = self.client.client_lacks.get(case) or server.server_lacks.get(case)
            if why:
                self._add(case, "skipped", why)
            else:
                left.append(case)
        limit = self.column.matrix.limits.pair
        with anyio.move_on_after(limit):
            while left:
                left = await (self._one(left) if self.client.one_case_each else self._many(left))
        self.fail(left, f"the {limit:g} s of the pair were over")

    def fail(self, cases: Iterable[str], why: str) -> None:
        for case in cases:
            self._add(case, "failed", why)

    def _add(self, case: str, verdict: str, note: str = "") -> None:
        tls, server = self.column.certificates is not None, self.column.server
        known = known_fault(self.client, server, case)
        if not known and verdict == "failed":
            known = known_race(self.client, server, case, note)
        self.column.add(Cell(self.client.name, server.name, tls, case, verdict, note, known))

    async def _one(self, cases: list[str]) -> list[str]:
        """The first case, by the exit code; returns the rest."""
        case, *rest = cases
        async with self._started([case]) as (program, _):
            how = ""
            with anyio.move_on_after(self.column.matrix.limits.case):
                how = await program.ended()
            if not how:
                self._add(case, "failed", self._late(program))
            elif program.process.returncode == 0:
                self._add(case, "passed")
            else:
                self._add(case, "failed", f"the client {how}")
        return rest

    async def _many(self, cases: list[str]) -> list[str]:
        """As many cases as one process runs; returns those that are left when it breaks off. What broke it off has
        failed."""
        left, told, notes = list(cases), "", list[str]()

        def settle() -> None:
            if told:
                case, verdict = told.split()
                self._add(case, verdict, "; ".join(notes))
                left.remove(case)
                notes.clear()

        async with self._started(cases) as (program, lines):
            while True:
                with anyio.move_on_after(self.column.matrix.limits.case) as scope, suppress(anyio.EndOfStream):
                    line = await lines.receive()
                    found = _VERDICT.match(line)
                    if found and found[1] in left:
                        settle()
                        told = f"{found[1]} {found[2]}"
                    elif told and line[0].isspace():
                        notes.append(" ".join(_HEADING.sub(r"\1: ", line.strip()).split()))
                    continue
                break
            settle()
            if left:
                why = self._late(program) if scope.cancelled_caught else f"the client {await program.ended()}"
                self._add(left.pop(0), "failed", why)
        return left

    def _late(self, program: Program) -> str:
        words = f": {program.last_words}" if program.said else ""
        return f"no end within {self.column.matrix.limits.case:g} s{words}"

    @asynccontextmanager
    async def _started(
        self, cases: Sequence[str]
    ) -> AsyncGenerator[tuple[Program, MemoryObjectReceiveStream[str]], None]:
        """The client's program, and the lines that it says, none of them empty."""
        folder = self.column.matrix.folder
        command = self.client.command("client", folder, self.column.certificates)
        address = ["--server_host=127.0.0.1", f"--server_port={self.port}", f"--test_case={','.join(cases)}"]
        send, receive = anyio.create_memory_object_stream[str](_LINES)

        async def hear(line: str) -> None:
            if line:
                await send.send(line)

        with send, receive:
            async with run_program(
                [*command, *address], self.client.environ("client", folder), hear, send.close
            ) as program:
                yield program, receive
