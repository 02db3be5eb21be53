"""`duplexcore chat`: a terminal in a chat room. Lines go out, what is said comes in, each whenever it likes."""

from __future__ import annotations

import codecs
import os
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ssl import SSLContext

import anyio
import anyio.from_thread
import click
from anyio.streams.memory import MemoryObjectReceiveStream
from rich.text import Text

from duplexcore import MessageTooLargeError, RpcError
from duplexcore_anyio import CallClosedError, DuplexCall, connect

from .console import Console
from .problems import Problem
from .proto.chat_pb2 import ChatInput, ChatOutput
from .services import JOIN, NAME_KEY

__all__ = ["ChatOptions", "chat"]


@dataclass(frozen=True)
class ChatOptions:
    """Where to, under which name, and how the server proves who it is."""

    target: str
    name: str
    tls: SSLContext | None = None
    server_hostname: str | None = None


async def chat(options: ChatOptions, console: Console) -> None:
    """Until the server ends the call, which it does once it has heard the half-close; raises `RpcError` if it ended
    badly."""
    try:
        connection = connect(options.target, tls=options.tls, server_hostname=options.server_hostname)
    except ValueError as error:
        raise Problem(str(error), "over a Unix socket: --server-name NAME" if options.tls else "") from error
    async with (
        connection as channel,
        channel.duplex(JOIN, metadata={NAME_KEY: options.name.encode()}) as call,
        _lines() as lines,
        anyio.create_task_group() as talk,
    ):
        talk.start_soon(_send, lines, call)
        async for output in call:
            console.print(_shown(output), soft_wrap=True)
        talk.cancel_scope.cancel()


async def _send(lines: MemoryObjectReceiveStream[str], call: DuplexCall[ChatInput, ChatOutput]) -> None:
    try:
        async for line in lines:
            try:
                await call.send(ChatInput(text=line))
            except MessageTooLargeError as error:
                click.echo(f"duplexcore: not sent: {error}", err=True)
        await call.send_eof()
    except (RpcError, CallClosedError):
        pass  # the call has ended: the reader tells how


def _shown(output: ChatOutput) -> Text:
    name, said = _harmless(output.name), _harmless(output.text)
    match output.kind:
        case ChatOutput.KIND_LINE:
            return Text.assemble((f"{name}: ", "bold"), said)
        case ChatOutput.KIND_JOINED:
            return Text(f"* {name} has come", style="green")
        case ChatOutput.KIND_LEFT:
            return Text(f"* {name} has left", style="yellow")
        case _:
            return Text(f"* {said}", style="dim")


def _harmless(text: str) -> str:
    """What others say must not steer the terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


@asynccontextmanager
async def _lines() -> AsyncGenerator[MemoryObjectReceiveStream[str], None]:
    """The lines of standard input. A blocked read can not be called off, so a daemon thread does it, on the bare
    descriptor: a buffered one would be locked when the interpreter ends."""
    inlet, outlet = anyio.create_memory_object_stream[str](16)
    async with anyio.from_thread.BlockingPortal() as portal:

        def read() -> None:
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            rest = ""
            try:
                while data := os.read(sys.stdin.fileno(), 65_536):
                    *whole, rest = (rest + decoder.decode(data)).split("\n")
                    for line in whole:
                        portal.call(inlet.send, line.removesuffix("\r"))
                if rest:
                    portal.call(inlet.send, rest)
            except (OSError, ValueError) as error:
                click.echo(f"duplexcore: standard input can not be read: {error}", err=True)
            except (RuntimeError, anyio.BrokenResourceError):
                return  # the chat is over
            try:
                portal.call(inlet.close)
            except RuntimeError:
                return

        threading.Thread(target=read, name="standard input", daemon=True).start()
        try:
            with outlet:
                yield outlet
        finally:
            await portal.stop(cancel_remaining=True)
