"""Legal runs in which nothing is left to choice: each is a test of its own, on a connection of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio

from duplexcore.testing import raw

from .calls import BlackCall
from .checks import Callee, CheckError, Log, Server
from .conversation import DEFAULT_WINDOW, STORM_BYTES, Conversation

__all__ = ["CONFORMANCE", "Scenario", "conform"]

#: Calls that are cancelled one after the other, and so many at a time.
CANCELLED, AT_A_TIME = 1_000, 50
#: Calls that are open at once, at most, whatever the server allows.
MOST_OPEN = 200
#: How often so many calls send on while the server ends them.
CROSSINGS = 20
#: Seconds in which a server shows that it minds no window; in which it ends calls to a method that it has not.
GLIMPSE, ENDING = 0.1, 0.02
#: PINGs, and SETTINGS, in a row.
IN_A_ROW = 20


@dataclass(frozen=True)
class Scenario:
    """``id``: of the finding; ``title``: what is done. It raises `CheckError`."""

    id: str
    title: str
    script: Callable[[Conversation], Awaitable[None]]


async def conform(server: Server, scenario: Scenario, log: Log) -> None:
    """Runs one, and a plain call after it. Raises `CheckError`; OSError when nobody answers."""
    async with Conversation.on(server, log) as talk:
        await talk.hello(DEFAULT_WINDOW)
        await scenario.script(talk)
        if not talk.leaving:
            await talk.canary()
        talk.conclude()


# --- how a call is put on the wire ------------------------------------------------------------------------------------


async def _framed(talk: Conversation, frames: Callable[[bytes], list[bytes]]) -> None:
    """A call to each method that ends by itself, its message cut into frames; each ends as it did at first."""
    for callee in talk.server.callees:
        if not callee.usual or talk.leaving:
            continue
        call = talk.new_call(callee)
        await call.start()
        pieces = frames(raw.message(callee.plain))
        for index, piece in enumerate(pieces):
            if not await talk.until(partial(call.can_say, len(piece))):
                raise CheckError("B6", f"no credit for {len(piece)} bytes of a call to {callee.path}")
            if call.open:
                await call.say(piece, end=index == len(pieces) - 1)
        if not await talk.until(partial(_over, call)):
            raise CheckError("B1", f"a call to {callee.path} is open after {talk.grace:g} s")
        if call.answer != callee.usual and not talk.leaving:
            raise CheckError("B5", f"{callee.path} answers {call.answer}, it was {callee.usual}")


async def _whole(talk: Conversation) -> None:
    await _framed(talk, lambda message: [message])


async def _half_closed_alone(talk: Conversation) -> None:
    await _framed(talk, lambda message: [message, b""])


async def _byte_by_byte(talk: Conversation) -> None:
    await _framed(talk, lambda message: [bytes([one]) for one in message[:64]] + [message[64:]])


async def _prefix_torn(talk: Conversation) -> None:
    await _framed(talk, lambda message: [b"", message[:3], b"", message[3:5], message[5:], b""])


# --- what is left behind ----------------------------------------------------------------------------------------------


async def _cancelled(talk: Conversation) -> None:
    """Credit and places of cancelled calls come back; after a few already, since servers may defend themselves."""
    talk.may_defend = True
    for index in range(CANCELLED // AT_A_TIME):
        await talk.storm(AT_A_TIME)
        if not talk.leaving:
            await talk.canary()
        if not talk.leaving and index in (0, CANCELLED // AT_A_TIME - 1):
            await talk.fill()
        if talk.leaving:
            return


async def _crossing(talk: Conversation) -> None:
    """What a client sends before it learns that the call is over comes back to the connection, too."""
    talk.may_defend = True
    for _ in range(CROSSINGS):
        if not talk.leaving:
            await _send_on(talk, raw.message(bytes(STORM_BYTES - 5), length=STORM_BYTES))
        if not talk.leaving:
            await talk.canary()
    if not talk.leaving:
        await talk.fill()


async def _send_on(talk: Conversation, part: bytes) -> None:
    """As many calls as there is room for, to a method that the server has not: it ends them while they send."""
    if not await talk.until(lambda: talk.room >= len(part) or talk.leaving):
        raise CheckError("B6", f"no credit: {talk.room} bytes left on the connection, and all calls are over")
    nobody = Callee.of_nobody()
    calls = [talk.new_call(nobody) for _ in range(min(AT_A_TIME, talk.places, talk.room // len(part)))]
    for call in calls:
        await call.start()
    await anyio.sleep(ENDING)  # the server ends them, and nothing of that is read
    for call in calls:
        await call.say(part)
    if not await talk.until(lambda: not talk.live()):
        raise CheckError("B1", f"a call to {nobody.path} is open after {talk.grace:g} s")
    for call in calls:
        if not (call.was_reset or talk.leaving):
            await call.cancel()


async def _places(talk: Conversation) -> None:
    """As many calls as the server allows, all cancelled, and so many again, which are answered."""
    count = min(talk.places, MOST_OPEN)
    calls = [talk.new_call() for _ in range(count)]
    for call in calls:
        await call.start()
    for call in calls:
        if call.open:
            await call.cancel()
    again = [talk.new_call() for _ in range(count)]
    for call in again:
        if not talk.leaving:
            await call.start()
    for call in again:
        message = raw.message(call.callee.plain)
        if not await talk.until(partial(call.can_say, len(message))):
            raise CheckError("B6", f"no credit for a plain call on stream {call.stream}")
        if call.open:
            await call.say(message, end=True)
    if not await talk.until(lambda: all(_over(call) for call in again)):
        open_calls = sum(call.open for call in again)
        raise CheckError("B1", f"{open_calls} of {count} plain calls at once are open after {talk.grace:g} s")


def _over(call: BlackCall) -> bool:
    return not call.open


# --- the connection ---------------------------------------------------------------------------------------------------


async def _pings(talk: Conversation) -> None:
    talk.may_defend = True
    wanted = [number.to_bytes(8, "big") for number in range(IN_A_ROW)]
    await talk.send(b"".join(map(raw.ping, wanted)), f"{IN_A_ROW} PINGs")
    if not await talk.until(lambda: len(talk.pongs) >= IN_A_ROW or talk.leaving):
        raise CheckError("B3", f"{len(talk.pongs)} of {IN_A_ROW} PINGs are acknowledged")
    if talk.pongs != wanted[: len(talk.pongs)]:
        raise CheckError("B3", "PINGs are acknowledged in another order, or with another payload")


async def _settings(talk: Conversation) -> None:
    """Each of many SETTINGS is acknowledged once; they change windows that no call uses."""
    talk.may_defend = True
    before = talk.acknowledged
    windows = [DEFAULT_WINDOW - 1 - number for number in range(IN_A_ROW - 1)] + [DEFAULT_WINDOW]
    for window in windows:
        await talk.send(raw.settings({raw.INITIAL_WINDOW: window}), f"SETTINGS INITIAL_WINDOW {window}")
    if not await talk.until(lambda: talk.acknowledged - before >= IN_A_ROW or talk.leaving):
        raise CheckError("B3", f"{talk.acknowledged - before} of {IN_A_ROW} SETTINGS are acknowledged")
    if not talk.leaving:
        await talk.canary()
    if talk.acknowledged - before > IN_A_ROW:
        raise CheckError("B3", f"{talk.acknowledged - before} ACKs for {IN_A_ROW} SETTINGS")


async def _no_credit(talk: Conversation) -> None:
    """A window of 0: responses wait without a byte of DATA, and come when there is credit."""
    await talk.send(raw.settings({raw.INITIAL_WINDOW: 0}), "SETTINGS INITIAL_WINDOW 0")
    seen = talk.acknowledged
    if not await talk.until(lambda: talk.acknowledged > seen):
        raise CheckError("B3", "SETTINGS are not acknowledged")
    talk.window = 0
    calls = [talk.new_call(callee) for callee in talk.server.callees if callee.usual]
    for call in calls:
        await call.start()
        if not await talk.until(partial(call.can_say, len(call.callee.plain) + 5)):
            raise CheckError("B6", f"no credit for a plain call on stream {call.stream}")
        if call.open:
            await call.say(raw.message(call.callee.plain), end=True)
    await talk.listen(GLIMPSE)  # what comes now comes without credit: `BlackCall.take` looks at each frame
    if not await talk.until(lambda: all(_over(call) for call in calls)):
        raise CheckError("B1", f"{sum(call.open for call in calls)} calls are open though credit was given")


#: By id, in the order in which they are run.
CONFORMANCE: Final = {
    one.id: one
    for one in (
        Scenario("C1", "each method, its message in one frame", _whole),
        Scenario("C2", "each method, half-closed by an empty frame", _half_closed_alone),
        Scenario("C3", "each method, a byte in each frame", _byte_by_byte),
        Scenario("C4", "each method, the prefix torn, empty frames between", _prefix_torn),
        Scenario("C5", f"{CANCELLED:,} calls cancelled inside a message, then one as large as the window", _cancelled),
        Scenario("C6", "as many calls at once as the server allows, cancelled, and again", _places),
        Scenario("C7", f"{IN_A_ROW} PINGs at once", _pings),
        Scenario("C8", f"{IN_A_ROW} SETTINGS at once", _settings),
        Scenario("C9", "each method, without credit for its response at first", _no_credit),
        Scenario("C10", "calls that send on while the server ends them, then one as large as the window", _crossing),
    )
}
