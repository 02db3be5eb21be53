"""Sending while reading (D-30)."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from types import TracebackType
from typing import Generic, TypeVar

import anyio

from duplexcore import RpcError

from .client_core import ClientCore
from .errors import CallClosedError
from .streams import CallReader, RequestWriter
from .tasks import Background, is_cancelled

__all__ = ["Exchange"]

Req = TypeVar("Req")
Resp = TypeVar("Resp")


class Exchange(Generic[Req, Resp]):
    """Made by `DuplexCall.exchange`: an async context manager that gives the call's reader."""

    def __init__(
        self,
        core: ClientCore,
        writer: RequestWriter[Req],
        reader: CallReader[Resp],
        source: Iterable[Req] | AsyncIterable[Req],
    ) -> None:
        self._core = core
        self._writer = writer
        self._reader = reader
        self._source = source
        self._tasks = Background()
        self._failure: BaseException | None = None

    async def __aenter__(self) -> CallReader[Resp]:
        tasks = await self._tasks.__aenter__()
        tasks.start_soon(self._send, name="duplexcore exchange")
        return self._reader

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool:
        self._tasks.cancel()
        swallowed = await self._tasks.leave(exc_val)
        if self._failure is not None:
            raise self._failure
        return swallowed

    async def _send(self) -> None:
        try:
            await self._writer.send_all(self._source)
            self._core.end_writing()
        except (RpcError, CallClosedError) as error:
            if self._core.engine.ended is None:
                self._failed(error)  # somebody else's: it came out of the source
        except Exception as error:  # noqa: BLE001 - raised out of the block
            self._failed(error)
        except anyio.get_cancelled_exc_class() as error:
            if is_cancelled():
                raise
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        self._failure = error
        self._core.source_failed()
        self._tasks.cancel()
