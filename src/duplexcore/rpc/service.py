"""Which handler serves which method. A handler of the wrong shape is refused when it is registered (D-1)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..status import Status, StatusCode
from .methods import Method, MethodKind

__all__ = ["HandlerTable", "Registered"]

#: What a handler of each kind looks like: its positional parameters, and how it is written.
_SHAPES: dict[MethodKind, tuple[int, str]] = {
    MethodKind.UNARY: (2, "async def handler(request, context) -> Response"),
    MethodKind.CLIENT_STREAMING: (1, "async def handler(call) -> Response"),
    MethodKind.SERVER_STREAMING: (2, "async def handler(request, context), an async generator that yields responses"),
    MethodKind.DUPLEX: (1, "async def handler(call) -> None"),
}
_ANYTHING = {"Any", "typing.Any", "object", "<class 'object'>"}
_NOTHING = {"None", "NoReturn", "Never", "typing.NoReturn", "typing.Never"}


@dataclass(frozen=True, slots=True)
class Registered:
    """A method and what serves it."""

    method: Method[Any, Any]
    handler: Callable[..., Any]


class HandlerTable:
    """Handlers by method path."""

    def __init__(self) -> None:
        self._methods: dict[str, Registered] = {}
        self._services: set[str] = set()

    def register(self, method: Method[Any, Any], handler: Callable[..., Any]) -> None:
        """Serves ``method`` by ``handler``.

        Raises TypeError when the handler does not have the shape of the method's kind, with a text that says what is
        expected; ValueError when the path has a handler already.
        """
        if method.path in self._methods:
            raise ValueError(f"{method.path} has a handler already")
        check_handler(method, handler)
        self._methods[method.path] = Registered(method, handler)
        self._services.add(method.service)

    def find(self, path: str) -> Registered | Status:
        """What serves a path, or the status that tells the client what is missing: service or method (D-6)."""
        found = self._methods.get(path)
        if found is not None:
            return found
        service, _, name = path[1:].rpartition("/")
        if service in self._services:
            return Status(StatusCode.UNIMPLEMENTED, f"service {service!r} has no method {name!r}")
        return Status(StatusCode.UNIMPLEMENTED, f"unknown service {service!r}")

    @property
    def methods(self) -> list[Method[Any, Any]]:
        """What is served, in the order of registration."""
        return [registered.method for registered in self._methods.values()]


def check_handler(method: Method[Any, Any], handler: Callable[..., Any]) -> None:
    """Raises TypeError when the handler cannot serve the method."""
    wanted, form = _SHAPES[method.kind]

    def refuse(what: str) -> TypeError:
        shown = getattr(handler, "__qualname__", repr(handler))
        return TypeError(f"{method.path} is {method.kind.value}: its handler is `{form}`, but {shown} {what}")

    if not callable(handler):
        raise refuse("cannot be called")
    code = _function_of(handler)
    generates = method.kind is MethodKind.SERVER_STREAMING
    if inspect.isasyncgenfunction(code) and not generates:
        raise refuse("is an async generator function (it has a `yield`)")
    if inspect.iscoroutinefunction(code) and generates:
        raise refuse("is a coroutine function (it has no `yield`)")
    if not (inspect.isasyncgenfunction(code) or inspect.iscoroutinefunction(code)):
        raise refuse("is not an async function")
    signature = inspect.signature(handler)
    try:
        signature.bind(*range(wanted))
    except TypeError:
        counted = "one positional argument" if wanted == 1 else f"{wanted} positional arguments"
        raise refuse(f"cannot be called with {counted}: its parameters are {signature}") from None
    returns = signature.return_annotation
    if returns is inspect.Signature.empty or str(returns) in _ANYTHING or generates:
        return
    nothing = returns is None or returns is type(None) or str(returns) in _NOTHING
    if method.kind is MethodKind.DUPLEX and not nothing:
        raise refuse(
            f"returns {inspect.formatannotation(returns)}: a duplex handler sends its responses with call.send()"
        )
    if method.kind is not MethodKind.DUPLEX and nothing:
        raise refuse("returns None: it is to return the response")


def _function_of(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The function that runs when the handler is called: behind partials, and ``__call__`` of objects."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    if not (inspect.isroutine(handler) or inspect.isclass(handler)):
        return type(handler).__call__
    return handler
