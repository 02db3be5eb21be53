"""A chat room: who enters is told what was said before, then everything that is said, in the order of the room."""

import anyio

from duplexcore.rpc import DuplexMethod
from duplexcore_anyio import DuplexServerCall, Router

Call = DuplexServerCall[bytes, bytes]
TALK = DuplexMethod("/example.ChatRoom/Talk", bytes, bytes)


class Room:
    """Each member has a place in the log, and goes on from there: there is no moment between history and now."""

    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.members: list[Call] = []
        self.said = anyio.Event()
        self.router = Router()
        self.router.add(TALK, self.talk)

    async def talk(self, call: Call) -> None:
        self.members.append(call)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.tell, call)
                async for line in call:
                    self.log.append(line)
                    self.said.set()
                    self.said = anyio.Event()
                tasks.cancel_scope.cancel()
        finally:
            self.members.remove(call)

    async def tell(self, call: Call) -> None:
        at = 0
        while True:
            said = self.said
            while at < len(self.log):
                await call.send(self.log[at])
                at += 1
            await said.wait()
