"""Asks a server what services it has: grpc.reflection.v1, or v1alpha where a server knows only that.

The questions go over a duplex call of our own client; nothing is judged here.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any

import anyio
from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError

from duplexcore import RpcError, StatusCode
from duplexcore.rpc import DuplexMethod
from duplexcore_anyio import ConnectError, DuplexCall, connect

from .files import EVERYBODYS, DescribedMethod, DescriptorError, methods_of
from .proto.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

__all__ = ["VERSIONS", "reflect"]

#: The newest first.
VERSIONS = ("v1", "v1alpha")
#: Files that a server may describe, at most: who has more does not end.
MOST_FILES = 10_000

Call = DuplexCall[ServerReflectionRequest, ServerReflectionResponse]


async def reflect(
    target: str,
    *,
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
    authority: str | None = None,
    metadata: Iterable[tuple[str, str]] = (),
    timeout: float = 5.0,
) -> list[DescribedMethod]:
    """The methods of all services of a server, by the names of the services; those of reflection itself are left out.

    ``target`` as `duplexcore_anyio.connect` has it; ``timeout``: seconds for all of it. Raises `DescriptorError` for a
    server that does not offer reflection, or answers nonsense, and OSError when nobody answers.
    """
    try:
        connecting = connect(target, tls=tls, server_hostname=server_name, authority=authority, connect_timeout=timeout)
    except ValueError as error:
        raise DescriptorError(str(error)) from error
    try:
        async with connecting as channel:
            for version in VERSIONS:
                method = DuplexMethod(
                    f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                    ServerReflectionRequest,
                    ServerReflectionResponse,
                )
                try:
                    async with channel.duplex(method, metadata=list(metadata), timeout=timeout) as call:
                        return await _Questions(call).methods()
                except RpcError as error:
                    if error.code is not StatusCode.UNIMPLEMENTED:
                        raise DescriptorError(f"the server does not tell its services: {error.status}") from error
    except ConnectError as error:
        raise ConnectionError(str(error)) from error
    raise DescriptorError(
        f"{target} does not offer reflection, neither {' nor '.join(VERSIONS)}: describe its services with a file"
    )


class _Questions:
    """One call, a question at a time."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._files: dict[str, Any] = {}

    async def methods(self) -> list[DescribedMethod]:
        answer = await self._ask(ServerReflectionRequest(list_services="*"))
        services = sorted({one.name for one in answer.list_services_response.service})
        wanted = [name for name in services if not name.startswith("grpc.reflection.")]
        for service in wanted:
            await self._learn(ServerReflectionRequest(file_containing_symbol=service))
        await self._imports()
        await self._call.send_eof()
        return methods_of(self._files.values(), wanted)

    async def _imports(self) -> None:
        """All files that files import and that have not come by themselves."""
        asked: set[str] = set()
        while missing := {name for one in self._files.values() for name in one.dependency} - {*self._files} - asked:
            for name in sorted(missing):
                asked.add(name)
                if name not in EVERYBODYS:
                    await self._learn(ServerReflectionRequest(file_by_filename=name))

    async def _learn(self, question: ServerReflectionRequest) -> None:
        answer = await self._ask(question)
        try:
            for content in answer.file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(content)
                self._files[file.name] = file
        except DecodeError as error:
            raise DescriptorError(f"reflection answers with what is no file: {error}") from error
        if len(self._files) > MOST_FILES:
            raise DescriptorError(f"reflection describes more than {MOST_FILES:,} files")

    async def _ask(self, question: ServerReflectionRequest) -> ServerReflectionResponse:
        await self._call.send(question)
        try:
            answer = await self._call.receive()
        except anyio.EndOfStream as error:
            raise DescriptorError("reflection ends its call before it has answered") from error
        if answer.WhichOneof("message_response") == "error_response":
            told = answer.error_response
            raise DescriptorError(f"reflection does not know its own: {told.error_code} {told.error_message}")
        return answer
