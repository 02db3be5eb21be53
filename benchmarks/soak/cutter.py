"""A proxy that cuts its connections at any byte: what comes of the calls on them is UNAVAILABLE, and nothing else."""

from __future__ import annotations

import random

import anyio
from anyio.abc import ByteStream, SocketAttribute

__all__ = ["Cutter"]


class Cutter:
    """Carries bytes between whoever connects to ``port`` and the server at ``target``, each time only for a while."""

    def __init__(self, target: int, choice: random.Random) -> None:
        self._target = target
        self._choice = choice
        self.cuts = 0
        self.port = 0

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            self.port = listener.extra(SocketAttribute.local_port)
            task_status.started()
            await listener.serve(self._carry)

    async def _carry(self, near: ByteStream) -> None:
        async with near:
            try:
                far = await anyio.connect_tcp("127.0.0.1", self._target)
            except OSError:
                return
            async with far, anyio.create_task_group() as tasks:
                left = self._choice.randrange(20_000, 3_000_000)
                for source, sink in ((near, far), (far, near)):
                    tasks.start_soon(self._copy, source, sink, left, tasks.cancel_scope)

    async def _copy(self, source: ByteStream, sink: ByteStream, left: int, both: anyio.CancelScope) -> None:
        """Carries ``left`` bytes at most; then both directions are over, and what was on its way is lost."""
        try:
            while left > 0:
                data = await source.receive(min(left, 65_536))
                left -= len(data)
                await sink.send(data)
            self.cuts += 1
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        both.cancel()
