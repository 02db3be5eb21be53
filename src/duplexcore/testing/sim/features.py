"""What a few runs have switched on besides: limits that are met, values at the edges, frames in other frames.

A run has none of them, one or two, so that each shows what it does, and the mean run costs what it did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from duplexcore import ClientConfig, ServerConfig
from duplexcore.metadata import MetadataLike
from duplexcore.status import StatusCode

from .choosing import Chooser
from .configurations import capped, changed, with_window
from .scripts import CallScript
from .simulation import Scenario
from .varying import varied

__all__ = ["FEATURES", "draw_features"]

C = TypeVar("C", ClientConfig, ServerConfig)
T = TypeVar("T")

#: How many features a run has.
COUNTS = (0, 1, 2)

#: Metadata at the edges: empty values, bytes, the same name again, what is secret, what is long.
METADATA: Final[Sequence[MetadataLike]] = (
    (),
    (("empty", ""), ("empty-bin", b"")),
    (("raw-bin", bytes(range(256))), ("raw-bin", b",="), ("raw-bin", b"\0")),
    (("twice", "a"), ("other", "b"), ("twice", "a"), ("twice", "c, d")),
    (("authorization", "Bearer secret"), ("cookie", "a=b; c=d"), ("mine", "hidden")),
    (("long", "x" * 3_000), ("long-bin", b"y" * 1_000)),
    tuple((f"k{index}", "~ !") for index in range(60)),
)
MESSAGES: Final = (
    "",
    "plain",
    "gr\u00fc\u00df, 100 %",
    "%25 %zz %",
    "line\nbreak\ttab",
    "\U0001f40d" * 20,
    "x" * 2_000,
)
#: Seconds: over before anything is framed, the smallest that can be said, in each unit, more than a connection's age.
TIMEOUTS: Final = (0.0, 1e-9, 0.001_5, 99.999_999_9, 3_600.0)
#: Bytes of a message.
LIMITS: Final = (0, 4, 200, 16_380)
BUFFERS: Final = (1, 100, 20_000)
TABLES: Final = (0, 64, 65_536)
#: Sizes of header lists, soft and hard: what a client takes of answers, whose shortest has 146 bytes, and a server of
#: requests, which have about 500.
ANSWERS: Final = ((215, 230), (150, 8_000), (320, 320), (170, 170), (100, 140))
REQUESTS: Final = ((600, 8_000), (900, 900), (500, 540))
LONG: Final[Sequence[MetadataLike]] = ((("long", "x" * 100), ("long-bin", b"y" * 100)), (("long", "x" * 1_000),))
WORDS: Final = ("x" * 70, "gr\u00fc\u00df, 100 %" * 10)
CODINGS: Final = (("gzip", "deflate"), ("deflate", "gzip"), ("gzip",), ())
#: Which messages are packed, in turn; None: those that become smaller.
PACKS: Final[Sequence[Sequence[bool | None]]] = ((True,), (None,), (True, False))
SERVICES: Final = ("sim.Calls", "a%2Fb.~!", "sim.Calls/v2", "x" * 200)
AUTHORITIES: Final = (None, "[::1]:50051", "a%20b.example:1")
AGENTS: Final = ("", "mine/1.0 (; ~)")
#: The second is served, the third is not.
SUBTYPES: Final = ("", "proto", "json")
#: Seconds; nothing else is due after as many.
AGES: Final = (0.5, 29.0)
#: After so much silence each side asks; no sum of other times: a clock says of one timeout only that it was due.
ASKS: Final = (11.37, 13.71)
#: How many PINGs may come too early, 0: any; and after so many seconds none is: the server's clock goes on by 13.71.
#: For the answer to a PING of the client: seconds; in the second case no run is as long.
ANSWERED: Final = (20.0, 3_600.0)
STRIKES: Final = (1, 2, 0)
PERMITTED: Final = (300.0, 12.0)
GRACES: Final = (1.0, float("inf"))
#: Bytes of credit that may be out for messages larger than their windows, and those windows.
ADVANCED: Final = (0, 150, 1_000)
NARROW: Final = 100
#: How many calls may wait for a stream.
WAITING: Final = (1, 2)


def _pick(chooser: Chooser, kind: str, options: Sequence[T]) -> T:
    return options[chooser.choose(len(options), kind, options)]


def _both(scenario: Scenario, name: str, client: object, server: object) -> Scenario:
    return varied(
        scenario, client=changed(scenario.client, name, client), server=changed(scenario.server, name, server)
    )


def _scripts(scenario: Scenario, change: Callable[[CallScript], CallScript]) -> Scenario:
    return varied(scenario, calls=tuple(change(script) for script in scenario.calls))


# -- the features -----------------------------------------------------------------------------------------------------


def _metadata(chooser: Chooser, scenario: Scenario) -> Scenario:
    def change(script: CallScript) -> CallScript:
        return varied(
            script,
            metadata=_pick(chooser, "metadata", METADATA),
            early=_pick(chooser, "initial metadata", METADATA),
            trailing_metadata=_pick(chooser, "trailing metadata", METADATA),
        )

    return _both(_scripts(scenario, change), "sensitive_metadata", frozenset({"mine"}), frozenset({"mine"}))


def _statuses(chooser: Chooser, scenario: Scenario) -> Scenario:
    codes = tuple(StatusCode)

    def change(script: CallScript) -> CallScript:
        code, message = _pick(chooser, "status", codes), _pick(chooser, "status message", MESSAGES)
        return varied(script, status=code, status_message=message)

    return _scripts(scenario, change)


def _timeouts(chooser: Chooser, scenario: Scenario) -> Scenario:
    return _scripts(scenario, lambda script: varied(script, timeout=_pick(chooser, "timeout", TIMEOUTS)))


def _received(chooser: Chooser, scenario: Scenario) -> Scenario:
    usual = scenario.client.max_receive_message_size
    client, server = (_pick(chooser, "longest message", (usual, *LIMITS)) for _ in range(2))
    return _both(scenario, "max_receive_message_size", client, server)


def _sent(chooser: Chooser, scenario: Scenario) -> Scenario:
    client, server = (_pick(chooser, "longest message", LIMITS) for _ in range(2))
    return _both(scenario, "max_send_message_size", client, server)


def _buffers(chooser: Chooser, scenario: Scenario) -> Scenario:
    client, server = (_pick(chooser, "send buffer", BUFFERS) for _ in range(2))
    return _both(scenario, "send_buffer", client, server)


def _tables(chooser: Chooser, scenario: Scenario) -> Scenario:
    usual = scenario.client.header_table_size
    client, server = (_pick(chooser, "header table", (usual, *TABLES)) for _ in range(2))
    return _both(scenario, "header_table_size", client, server)


def _with_lists(config: C, soft: int, hard: int) -> C:
    softer: C = changed(config, "max_header_list_size", soft)
    limited: C = changed(softer, "hard_header_list_size", hard)
    return limited


def _lists(chooser: Chooser, scenario: Scenario) -> Scenario:
    which = _pick(chooser, "small lists", ("answers", "requests", "both"))
    client, server = scenario.client, scenario.server
    if which != "requests":
        client = _with_lists(client, *_pick(chooser, "answers' lists", ANSWERS))
    if which != "answers":
        server = _with_lists(server, *_pick(chooser, "requests' lists", REQUESTS))

    def change(script: CallScript) -> CallScript:
        if which == "requests":
            return varied(script, metadata=_pick(chooser, "metadata", (script.metadata, *LONG)))
        return varied(
            script,
            trailing_metadata=_pick(chooser, "trailing metadata", (script.trailing_metadata, *LONG)),
            status_message=_pick(chooser, "status message", (script.status_message, *WORDS)),
        )

    return _scripts(varied(scenario, client=client, server=server), change)


def _codings(chooser: Chooser, scenario: Scenario) -> Scenario:
    mine, other = (_pick(chooser, "codings", CODINGS) for _ in range(2))
    scenario = _both(scenario, "compressions", mine, other)
    ours, theirs = (_pick(chooser, "coding", (*known, None)) if known else None for known in (mine, other))

    def change(script: CallScript) -> CallScript:
        coding = _pick(chooser, "coding of requests", (None, *mine, "identity"))
        return varied(script, coding=coding, packs=_pick(chooser, "packed", PACKS))

    return _both(_scripts(scenario, change), "compression", ours, theirs)


def _singles(chooser: Chooser, scenario: Scenario) -> Scenario:
    def change(script: CallScript) -> CallScript:
        request, response = (_pick(chooser, what, (False, True)) for what in ("one request", "one response"))
        return varied(script, single_request=request, single_response=response)

    return _scripts(scenario, change)


def _names(chooser: Chooser, scenario: Scenario) -> Scenario:
    def change(script: CallScript) -> CallScript:
        return varied(
            script,
            service=_pick(chooser, "service", SERVICES),
            authority=_pick(chooser, "authority", AUTHORITIES),
            subtype=_pick(chooser, "subtype", SUBTYPES),
        )

    agent = _pick(chooser, "user agent", AGENTS)
    return varied(_scripts(scenario, change), client=changed(scenario.client, "user_agent", agent))


def _ages(chooser: Chooser, scenario: Scenario) -> Scenario:
    server = scenario.server
    what = _pick(chooser, "ends", ("max_connection_idle", "max_connection_age", "unused_timeout"))
    server = changed(server, what, _pick(chooser, "seconds", AGES))
    return varied(scenario, server=changed(server, "max_connection_age_grace", _pick(chooser, "grace", GRACES)))


def _waiting(chooser: Chooser, scenario: Scenario) -> Scenario:
    client = changed(scenario.client, "max_waiting_calls", _pick(chooser, "calls that wait", WAITING))
    return varied(scenario, client=client)


def _advances(chooser: Chooser, scenario: Scenario) -> Scenario:
    def change(config: C) -> C:
        budget = _pick(chooser, "bytes advanced", ADVANCED)
        limits = replace(config.abuse, unread_bytes=budget)
        narrow: C = changed(with_window(config, NARROW), "abuse", limits)
        return narrow

    scenario = varied(scenario, client=change(scenario.client), server=change(scenario.server))
    return _scripts(scenario, lambda script: capped(script, NARROW))


def _kept_alive(chooser: Chooser, scenario: Scenario) -> Scenario:
    who = _pick(chooser, "kept alive by", ("client", "server", "both"))
    client, server = scenario.client, scenario.server
    if who != "server":
        client = changed(client, "keepalive_time", ASKS[0])
        client = changed(client, "keepalive_without_calls", _pick(chooser, "without calls", (False, True)))
        client = changed(client, "keepalive_timeout", _pick(chooser, "answer", ANSWERED))
        server = changed(server, "max_ping_strikes", _pick(chooser, "strikes", STRIKES))
        server = changed(server, "permit_keepalive_time", _pick(chooser, "permitted", PERMITTED))
        server = changed(server, "permit_keepalive_without_calls", _pick(chooser, "permitted", (False, True)))
    if who != "client":
        server = changed(server, "keepalive_time", ASKS[1])
    calls = scenario.calls
    if _pick(chooser, "first call", ("ends", "stays open")) == "stays open":
        calls = (varied(calls[0], half_close=False, drains=True, timeout=None, cancels=False), *calls[1:])
    return varied(scenario, client=client, server=server, calls=calls)


def _between(chooser: Chooser, scenario: Scenario) -> Scenario:
    # The end of a stream goes on its HEADERS only where there is nothing else to say.
    says_nothing = _pick(chooser, "requests", (False, True))
    calls = (varied(scenario.calls[0], requests=(), half_close=True), *scenario.calls[1:])
    return varied(scenario, between=True, calls=calls if says_nothing else scenario.calls)


Feature = Callable[[Chooser, Scenario], Scenario]

#: What any carrier of calls has, and what only HTTP/2 has.
ANYWHERE: Final[dict[str, Feature]] = {
    "metadata": _metadata,
    "statuses": _statuses,
    "timeouts": _timeouts,
    "received messages": _received,
    "sent messages": _sent,
    "send buffers": _buffers,
    "codings": _codings,
    "single messages": _singles,
}
OVER_HTTP2: Final[dict[str, Feature]] = {
    "something between": _between,
    "header tables": _tables,
    "names": _names,
    "header lists": _lists,
    "ages": _ages,
    "waiting calls": _waiting,
    "keepalive": _kept_alive,
    "advances": _advances,
}
FEATURES: Final[dict[str, Feature]] = OVER_HTTP2 | ANYWHERE
#: What goes with no other: the same limit holds for the bytes by which unpacking makes messages grow.
NEVER_BOTH: Final = {"advances": "codings", "codings": "advances"}


def draw_features(chooser: Chooser, scenario: Scenario) -> Scenario:
    """The scenario, with some features by choice; often none."""
    left = dict(ANYWHERE if scenario.in_process else FEATURES)
    for _ in range(_pick(chooser, "features", COUNTS)):
        name = _pick(chooser, "feature", tuple(left))
        scenario = left.pop(name)(chooser, scenario)
        left.pop(NEVER_BOTH.get(name, ""), None)
    return scenario
