"""`duplexcore demo`: a server, a client against it, one conversation, drawn as it happens and checked at the end."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from duplexcore_anyio import DuplexServerCall, Router, connect, serve

from .console import Console
from .conversation import (
    ANSWERS,
    CONVERSE,
    LAST,
    METADATA,
    QUESTION,
    TRAILING_METADATA,
    WELCOME,
    Check,
    Outcome,
    name_of,
    request_name,
    response_name,
    verify,
)
from .html import html_page
from .live import LiveDrawing
from .mermaid import mermaid
from .problems import Problem, check_writable, need, run, write
from .proto.conversation_pb2 import InputMessage, OutputMessage
from .signals import interruptible
from .tls import NAME, ThrowAway
from .trace import Side, Trace

__all__ = ["DemoOptions", "demo"]


@dataclass(frozen=True)
class DemoOptions:
    """How the conversation is held. ``grpcio_side``: the side that grpcio takes, if any."""

    backend: str = "asyncio"
    grpcio_side: Side | None = None
    tls: bool = False
    uds: Path | None = None
    #: Seconds between the steps, for those who watch.
    pace: float = 0.0
    mermaid: Path | None = None
    html: Path | None = None
    debug: bool = False

    @property
    def names(self) -> dict[Side, str]:
        return {side: "grpcio" if side is self.grpcio_side else "duplexcore" for side in Side}

    @property
    def facts(self) -> list[str]:
        link = "a Unix socket" if self.uds else "TCP on loopback"
        facts = [f"{CONVERSE.path}", f"{link} with TLS" if self.tls else link, self.backend]
        if self.grpcio_side:
            facts.append(f"frames as the {self.grpcio_side.other.value} sees them")
        return facts

    @property
    def seen_by(self) -> Side:
        """The side whose engine shows its frames: the server knows what left in one write."""
        return Side.CLIENT if self.grpcio_side is Side.SERVER else Side.SERVER

    @property
    def timeout(self) -> float:
        """For the whole call: a conversation that waits for itself ends with an error, not never."""
        return 15.0 + 10 * self.pace


def demo(options: DemoOptions, console: Console) -> None:
    """Holds the conversation; raises `Problem` when it can not be held or went otherwise."""
    if options.grpcio_side:
        need("grpc")
    for path in (options.mermaid, options.html):
        check_writable(path)
    names = options.names
    drawing = LiveDrawing(console, names)
    trace = Trace(name_of, drawing.draw)
    drawing.header()
    outcome = run(options.backend, options.debug, lambda: interruptible(lambda: _hold(options, trace)))
    checks = verify(trace, outcome, one_go=options.seen_by is Side.SERVER)
    if options.mermaid:
        write(options.mermaid, mermaid(trace, names))
    if options.html:
        held = [check.text for check in checks if check.held]
        page = html_page(trace, names, title="One duplex call", facts=options.facts, outcome=held)
        write(options.html, page)
    _report(options, checks, console)


def _report(options: DemoOptions, checks: list[Check], console: Console) -> None:
    console.print()
    for check in checks:
        mark = "[green]✓[/]" if check.held else "[bold red]✗[/]"
        console.print(f"  {mark} {check.text}", highlight=False)
    for path in (options.mermaid, options.html):
        if path:
            console.print(f"  wrote {path}", highlight=False, markup=False)
    wrong = [check.text for check in checks if not check.held]
    if wrong:
        raise Problem("the conversation went otherwise: not so: " + "; ".join(wrong))


async def _hold(options: DemoOptions, trace: Trace) -> Outcome:
    tls = ThrowAway.made() if options.tls else None
    address = f"unix:{options.uds}" if options.uds else "127.0.0.1:0"
    outcome = Outcome()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_flush_each_write, trace)
        async with AsyncExitStack() as stack:
            if options.grpcio_side is Side.SERVER:
                from .grpcio_peer import serving

                target = stack.enter_context(serving(address, tls, trace, options.pace))
            else:
                target = await stack.enter_async_context(_serving(address, tls, trace, options.pace))
            if options.grpcio_side is Side.CLIENT:
                from .grpcio_peer import converse

                # Abandoned by Ctrl-C, the thread ends as its server goes.
                outcome = await anyio.to_thread.run_sync(
                    converse, target, tls, trace, options.pace, options.timeout, abandon_on_cancel=True
                )
            else:
                outcome = await _converse(target, tls, trace, options)
        tasks.cancel_scope.cancel()
    trace.flush()
    return outcome


async def _flush_each_write(trace: Trace) -> None:
    """Draws frames as soon as the engine has made or read them: this task gets its turn when the engine's ends."""
    while True:
        pending = anyio.Event()
        trace.on_pending = pending.set
        trace.flush()
        await pending.wait()


async def _converse(target: str, tls: ThrowAway | None, trace: Trace, options: DemoOptions) -> Outcome:
    """The client's part."""
    outcome = Outcome()
    observer = trace.observer(Side.CLIENT) if options.seen_by is Side.CLIENT else None
    context = tls.client if tls else None
    async with connect(target, tls=context, server_hostname=NAME if tls else None, observer=observer) as channel:
        trace.says(Side.CLIENT, "open")
        async with channel.duplex(CONVERSE, metadata=METADATA, timeout=options.timeout) as call:
            async for response in call:
                trace.hears(Side.CLIENT, response_name(response))
                outcome.responses.append(response)
                if response == WELCOME:
                    await anyio.sleep(options.pace)
                    trace.says(Side.CLIENT, request_name(QUESTION))
                    await call.send(QUESTION)
            status = await call.wait_closed()
            outcome.status = status.code.name
            outcome.trailing_metadata = {name: str(value) for name, value in call.trailing_metadata}
            trace.hears(Side.CLIENT, f"status {outcome.status}")
    return outcome


@asynccontextmanager
async def _serving(address: str, tls: ThrowAway | None, trace: Trace, pace: float) -> AsyncGenerator[str, None]:
    """The server's part; the target that clients connect to."""
    router = Router()

    @router.handles(CONVERSE)
    async def handle(call: DuplexServerCall[InputMessage, OutputMessage]) -> None:
        trace.hears(Side.SERVER, "opened")
        trace.says(Side.SERVER, response_name(WELCOME))
        await call.send(WELCOME)
        trace.hears(Side.SERVER, request_name(await call.receive()))
        for answer in ANSWERS:
            await anyio.sleep(pace)
            trace.says(Side.SERVER, response_name(answer))
            await call.send(answer)
        await anyio.sleep(pace)
        call.set_trailing_metadata(TRAILING_METADATA)
        trace.says(Side.SERVER, f"{response_name(LAST)}, OK")
        await call.send(LAST)

    observer = trace.observer(Side.SERVER)
    async with serve(router, address, tls=tls.server if tls else None, observer=observer) as server:
        yield server.addresses[0]
