"""What `duplexcore serve` serves: the echo service, and one chat room."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from duplexcore import RpcError, StatusCode
from duplexcore.rpc import ClientStreamingMethod, DuplexMethod, ServerStreamingMethod, UnaryMethod
from duplexcore_anyio import ClientStreamingServerCall, DuplexServerCall, Router, ServerContext

from .proto.chat_pb2 import ChatInput, ChatOutput
from .proto.echo_pb2 import EchoRequest, EchoResponse

__all__ = ["COLLECT", "DUPLEX", "EXPAND", "JOIN", "NAME_KEY", "UNARY", "Room", "add_echo"]

UNARY = UnaryMethod("/duplexcore.demo.v1.Echo/Unary", EchoRequest, EchoResponse)
COLLECT = ClientStreamingMethod("/duplexcore.demo.v1.Echo/Collect", EchoRequest, EchoResponse)
EXPAND = ServerStreamingMethod("/duplexcore.demo.v1.Echo/Expand", EchoRequest, EchoResponse)
DUPLEX = DuplexMethod("/duplexcore.demo.v1.Echo/Duplex", EchoRequest, EchoResponse)
JOIN = DuplexMethod("/duplexcore.demo.v1.ChatRoom/Join", ChatInput, ChatOutput)

#: The metadata that a guest's name comes in: binary, since names are not all ASCII.
NAME_KEY = "chat-name-bin"
_LONGEST_NAME = 40
#: Lines that may wait for one guest. Who reads slower than that has to leave: the others do not wait.
_WAITING_LINES = 1_000
_MOST_ANSWERS = 1_000_000


def add_echo(router: Router) -> None:
    """Registers the four kinds of echo."""
    router.add(UNARY, _unary)
    router.add(COLLECT, _collect)
    router.add(EXPAND, _expand)
    router.add(DUPLEX, _duplex)


def _answer(request: EchoRequest, number: int) -> EchoResponse:
    return EchoResponse(text=request.text, payload=request.payload, number=number)


async def _unary(request: EchoRequest, _: ServerContext) -> EchoResponse:
    return _answer(request, 1)


async def _collect(call: ClientStreamingServerCall[EchoRequest]) -> EchoResponse:
    requests = [request async for request in call]
    return EchoResponse(
        text="".join(request.text for request in requests),
        payload=b"".join(request.payload for request in requests),
        number=len(requests),
    )


async def _expand(request: EchoRequest, _: ServerContext) -> AsyncIterator[EchoResponse]:
    if request.repeat > _MOST_ANSWERS:
        raise RpcError(StatusCode.INVALID_ARGUMENT, f"repeat is {request.repeat}: at most {_MOST_ANSWERS}")
    for number in range(1, request.repeat + 1):
        yield _answer(request, number)


async def _duplex(call: DuplexServerCall[EchoRequest, EchoResponse]) -> None:
    number = 0
    async for request in call:
        number += 1
        await call.send(_answer(request, number))


class Room:
    """A chat room: what one says all hear, in one order."""

    def __init__(self) -> None:
        self._guests: dict[str, MemoryObjectSendStream[ChatOutput]] = {}

    @property
    def guests(self) -> list[str]:
        return list(self._guests)

    async def join(self, call: DuplexServerCall[ChatInput, ChatOutput]) -> None:
        """One guest's call, from entering to leaving. Two tasks: what is said to the room, what is heard from it."""
        with self._guest(_name(call)) as (name, heard):
            left = False

            async def hear() -> None:
                async for output in heard:
                    await call.send(output)
                if not left:
                    raise RpcError(StatusCode.RESOURCE_EXHAUSTED, "too slow: the others could not wait")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hear)
                async for said in call:
                    self._say(ChatOutput(kind=ChatOutput.KIND_LINE, name=name, text=said.text))
                # What waits is still heard: the last line may be the guest's own.
                left = True
                self._close(name)

    def notice(self, text: str) -> None:
        """Tells everyone something that nobody said."""
        self._say(ChatOutput(kind=ChatOutput.KIND_NOTICE, text=text))

    @contextmanager
    def _guest(self, wanted: str) -> Generator[tuple[str, MemoryObjectReceiveStream[ChatOutput]], None, None]:
        name, number = wanted, 1
        while name in self._guests:
            number += 1
            name = f"{wanted}-{number}"
        inlet, outlet = anyio.create_memory_object_stream[ChatOutput](_WAITING_LINES)
        others = ", ".join(self._guests) or "nobody else"
        self._guests[name] = inlet
        inlet.send_nowait(ChatOutput(kind=ChatOutput.KIND_NOTICE, text=f"you are {name}; here: {others}"))
        self._say(ChatOutput(kind=ChatOutput.KIND_JOINED, name=name), but=name)
        try:
            with outlet:
                yield name, outlet
        finally:
            self._close(name)
            self._say(ChatOutput(kind=ChatOutput.KIND_LEFT, name=name))

    def _say(self, output: ChatOutput, *, but: str = "") -> None:
        for name, inlet in list(self._guests.items()):
            if name != but:
                try:
                    inlet.send_nowait(output)
                except (anyio.WouldBlock, anyio.BrokenResourceError):
                    self._close(name)

    def _close(self, name: str) -> None:
        inlet = self._guests.pop(name, None)
        if inlet is not None:
            inlet.close()


def _name(call: DuplexServerCall[ChatInput, ChatOutput]) -> str:
    given = call.metadata.get(NAME_KEY)
    text = given.decode("utf-8", "replace") if isinstance(given, bytes) else ""
    return "".join(character for character in text if character.isprintable()).strip()[:_LONGEST_NAME] or "someone"
