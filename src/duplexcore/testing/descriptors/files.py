"""The methods of services that files describe: FileDescriptorSet as protoc and buf write it, or any such files."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import DecodeError

__all__ = ["DescribedMethod", "DescriptorError", "methods_of", "methods_of_file"]

_MODULES = (
    "any",
    "api",
    "descriptor",
    "duration",
    "empty",
    "field_mask",
    "source_context",
    "struct",
    "timestamp",
    "type",
    "wrappers",
)


def _everybodys() -> dict[str, bytes]:
    files = [importlib.import_module(f"google.protobuf.{name}_pb2").DESCRIPTOR for name in _MODULES]
    return {file.name: file.serialized_pb for file in files}


#: Files that everybody who has protobuf has, by name; others do not always send them along.
EVERYBODYS: dict[str, bytes] = _everybodys()


class DescriptorError(Exception):
    """Nothing can be made of what describes the services. The text says what is wrong, and what to do."""


@dataclass(frozen=True)
class DescribedMethod:
    """A method: its path, which of its sides are streams, the descriptors of its messages."""

    path: str
    many_requests: bool
    many_responses: bool
    request: Any
    response: Any

    @property
    def kind(self) -> str:
        return {
            (False, False): "unary",
            (True, False): "client-streaming",
            (False, True): "server-streaming",
            (True, True): "duplex",
        }[self.many_requests, self.many_responses]


def methods_of_file(path: Path) -> list[DescribedMethod]:
    """Of all services in a FileDescriptorSet, in its order. Raises `DescriptorError`, OSError."""
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file
    except DecodeError as error:
        raise DescriptorError(
            f"{path} is no FileDescriptorSet: make one with `protoc --include_imports --descriptor_set_out={path}`, or "
            f"with `buf build -o {path}`"
        ) from error
    found = methods_of(files)
    if not found:
        raise DescriptorError(f"{path} describes no service")
    return found


def methods_of(files: Iterable[Any], services: Iterable[str] | None = None) -> list[DescribedMethod]:
    """Of services, in the order of their names; without names of all that the files hold, in their order.

    ``files``: FileDescriptorProtos in any order, with those that they import. Raises `DescriptorError`.
    """
    given = {one.name: one for one in files}
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()
    for name in given:
        _add(pool, name, given, added, ())
    if services is None:
        services = [
            f"{one.package}.{service.name}".removeprefix(".") for one in given.values() for service in one.service
        ]
    return [method for service in services for method in _methods(pool, service)]


def _add(pool: Any, name: str, given: dict[str, Any], added: set[str], above: tuple[str, ...]) -> None:
    """A file after all that it imports."""
    if name in added:
        return
    if name in above:
        raise DescriptorError(f"{name} imports itself: {' -> '.join([*above, name])}")
    file = given.get(name) or _of_everybody(name)
    if file is None:
        raise DescriptorError(
            f"{above[-1]} imports {name}, which is not there: protoc needs --include_imports to write it down"
        )
    for imported in file.dependency:
        _add(pool, imported, given, added, (*above, name))
    try:
        pool.Add(file)
        pool.FindFileByName(name)  # protobuf looks at a file only when somebody asks
    except (TypeError, KeyError) as error:
        raise DescriptorError(f"{name} can not be used: {error}") from error
    added.add(name)


def _of_everybody(name: str) -> Any | None:
    content = EVERYBODYS.get(name)
    return None if content is None else descriptor_pb2.FileDescriptorProto.FromString(content)


def _methods(pool: Any, service: str) -> list[DescribedMethod]:
    try:
        found = pool.FindServiceByName(service)
    except KeyError:
        raise DescriptorError(f"service {service} is in none of the files") from None
    described = []
    for method in found.methods:
        asked = descriptor_pb2.MethodDescriptorProto()
        method.CopyToProto(asked)
        described.append(
            DescribedMethod(
                f"/{service}/{method.name}",
                asked.client_streaming,
                asked.server_streaming,
                method.input_type,
                method.output_type,
            )
        )
    return described
