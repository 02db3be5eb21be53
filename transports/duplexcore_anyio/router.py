"""Handlers by method, typed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar, overload

from duplexcore.rpc import (
    ClientStreamingMethod,
    DuplexMethod,
    HandlerTable,
    Method,
    ServerStreamingMethod,
    UnaryMethod,
)

from .server_calls import ClientStreamingServerCall, DuplexServerCall, ServerContext

__all__ = ["Router"]

Req = TypeVar("Req")
Resp = TypeVar("Resp")
H = TypeVar("H", bound=Callable[..., Any])

UnaryHandler = Callable[[Req, ServerContext], Awaitable[Resp]]
ServerStreamingHandler = Callable[[Req, ServerContext], AsyncIterator[Resp]]
ClientStreamingHandler = Callable[[ClientStreamingServerCall[Req]], Awaitable[Resp]]
DuplexHandler = Callable[[DuplexServerCall[Req, Resp]], Awaitable[None]]


class Router(HandlerTable):
    """What a server serves: which handler for which method. One router may serve any number of servers."""

    @overload
    def add(self, method: UnaryMethod[Req, Resp], handler: UnaryHandler[Req, Resp]) -> None: ...
    @overload
    def add(self, method: ServerStreamingMethod[Req, Resp], handler: ServerStreamingHandler[Req, Resp]) -> None: ...
    @overload
    def add(self, method: ClientStreamingMethod[Req, Resp], handler: ClientStreamingHandler[Req, Resp]) -> None: ...
    @overload
    def add(self, method: DuplexMethod[Req, Resp], handler: DuplexHandler[Req, Resp]) -> None: ...
    def add(self, method: Method[Any, Any], handler: Callable[..., Any]) -> None:
        """Serves a method by a handler.

        Raises TypeError when the handler has not the shape of the method's kind, ValueError when there is one already.
        """
        self.register(method, handler)

    @overload
    def handles(
        self, method: UnaryMethod[Req, Resp]
    ) -> Callable[[UnaryHandler[Req, Resp]], UnaryHandler[Req, Resp]]: ...
    @overload
    def handles(
        self, method: ServerStreamingMethod[Req, Resp]
    ) -> Callable[[ServerStreamingHandler[Req, Resp]], ServerStreamingHandler[Req, Resp]]: ...
    @overload
    def handles(
        self, method: ClientStreamingMethod[Req, Resp]
    ) -> Callable[[ClientStreamingHandler[Req, Resp]], ClientStreamingHandler[Req, Resp]]: ...
    @overload
    def handles(
        self, method: DuplexMethod[Req, Resp]
    ) -> Callable[[DuplexHandler[Req, Resp]], DuplexHandler[Req, Resp]]: ...
    def handles(self, method: Method[Any, Any]) -> Callable[..., Any]:
        """A decorator that serves the method by the function below; raises as `add` does."""

        def register(handler: H) -> H:
            self.register(method, handler)
            return handler

        return register
