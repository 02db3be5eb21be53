"""The chat room as one writes it first. It works, as every try with a few clients shows. It has two races."""

import anyio
from room import TALK, Call

from duplexcore_anyio import Router


class HastyRoom:
    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.members: list[Call] = []
        self.router = Router()
        self.router.add(TALK, self.talk)

    async def talk(self, call: Call) -> None:
        for line in await self.history():
            await call.send(line)
        self.members.append(call)
        async for line in call:
            await self.say(line)
        self.members.remove(call)

    async def history(self) -> list[bytes]:
        lines = list(self.log)
        await anyio.sleep(0.01)  # as a database would
        return lines

    async def say(self, line: bytes) -> None:
        self.log.append(line)
        for member in self.members:
            await member.send(line)
