"""What can be set, against a table of all settings: their defaults, what they may be, and what is refused."""

from __future__ import annotations

from dataclasses import fields
from functools import reduce
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore import ClientConfig, ServerConfig
from duplexcore.config import AbuseLimits, Config, Limit

#: Setting -> (default, least, most); both are integers.
SIZES: dict[str, tuple[int, int, int]] = {
    "max_receive_message_size": (4_194_304, 0, 4_294_967_295),
    "max_send_message_size": (4_294_967_295, 0, 4_294_967_295),
    "send_buffer": (65_536, 1, 2_147_483_647),
    "stream_window": (262_144, 65_535, 2_147_483_647),
    "connection_window": (1_048_576, 65_535, 2_147_483_647),
    "max_frame_size": (16_384, 16_384, 16_777_215),
    "max_header_list_size": (8_192, 1, 16_384),  # the default of the next one
    "hard_header_list_size": (16_384, 8_192, 2_147_483_647),
    "header_table_size": (4_096, 0, 65_536),
}
#: Setting -> default: seconds, more than none.
TIMES = {"handshake_timeout": 120.0, "settings_ack_timeout": 60.0, "keepalive_time": inf, "keepalive_timeout": 20.0}
OTHERS: dict[str, object] = {
    "sensitive_metadata": frozenset(),
    "compressions": ("gzip", "deflate"),
    "compression": None,
    "keepalive_without_calls": False,
    "http2": "native",
    "abuse": AbuseLimits(),
}
OF_CLIENTS: dict[str, object] = {
    "authority": "localhost",
    "scheme": "http",
    "user_agent": "",
    "handshake_timeout": 20.0,
    "max_waiting_calls": 10_000,
}
TIMES_OF_SERVERS = {
    "keepalive_time": 7_200.0,
    "drain_ping_timeout": 5.0,
    "permit_keepalive_time": 300.0,
    "max_connection_idle": inf,
    "max_connection_age": inf,
    "max_connection_age_grace": inf,
    "unused_timeout": 120.0,
}
OF_SERVERS: dict[str, object] = {
    "max_concurrent_calls": 1_000,
    "content_subtypes": frozenset({"proto"}),
    "require_te": False,
    "keepalive_without_calls": True,
    "max_ping_strikes": 2,
    "permit_keepalive_without_calls": False,
}
ABUSE: dict[str, float] = {
    "control_frames_stop_reading": 10_000,
    "control_frames_close": 20_000,
    "period": 10.0,
    "settings_frames": 100,
    "priority_frames": 10_000,
    "reset_period": 30.0,
    "peer_resets": 2_000,
    "own_resets": 1_024,
    "header_block_timeout": 30.0,
    "frame_timeout": 60.0,
    "write_timeout": 60.0,
    "unread_bytes": 67_108_864,
    "settings_entries": 32,
    "empty_data_in_a_row": 100,
    "empty_data_on_connection": 16_384,
    "interim_responses": 16_384,
    "continuation_frames": 5,
    "header_block_ratio": 2.0,
    "table_size_updates": 2,
}
DEFAULTS: dict[type[Config], dict[str, Any]] = {
    side: {name: default for name, (default, _, _) in SIZES.items()} | TIMES | OTHERS | own
    for side, own in ((ClientConfig, OF_CLIENTS), (ServerConfig, TIMES_OF_SERVERS | OF_SERVERS))
}
SECONDS = st.one_of(st.floats(min_value=10, max_value=1e6), st.just(inf))
#: For each setting what it may be, whatever the others are.
LEGAL: dict[str, st.SearchStrategy[Any]] = {
    **{name: st.integers(least, most) for name, (_, least, most) in SIZES.items()},
    **dict.fromkeys((*TIMES, *TIMES_OF_SERVERS), SECONDS),
    "http2": st.sampled_from(("native", "h2")),
    "compressions": st.sampled_from((("gzip",), ("gzip", "deflate"), ("deflate", "gzip"))),
    "compression": st.sampled_from((None, "gzip")),
    "sensitive_metadata": st.frozensets(st.sampled_from(("a", "b"))),
    "keepalive_without_calls": st.booleans(),
    "abuse": st.sampled_from((AbuseLimits(), AbuseLimits(settings_frames=1))),
    "authority": st.text("azAZ059-._~!$&'()*+,;=:%[]", min_size=1, max_size=20),
    "scheme": st.sampled_from(("http", "https")),
    "user_agent": st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=10),
    "max_waiting_calls": st.integers(0, 10**6),
    "max_concurrent_calls": st.integers(1, 2**31 - 1),
    "max_ping_strikes": st.integers(0, 10),
    "content_subtypes": st.sampled_from((None, frozenset(), frozenset({"json"}))),
    "require_te": st.booleans(),
    "permit_keepalive_without_calls": st.booleans(),
}
#: For each side, settings with a value at an edge, and whether it may be.
EDGES: dict[type[Config], list[tuple[str, Any, bool]]] = {
    side: [
        *(
            (name, value, good)
            for name, (_, low, high) in SIZES.items()
            if "header_list" not in name
            for value, good in ((low - 1, False), (low, True), (high, True), (high + 1, False))
        ),
        ("max_header_list_size", 0, False),
        ("max_header_list_size", 1, True),
        ("hard_header_list_size", 2**31 - 1, True),
        ("hard_header_list_size", 2**31, False),
        *((name, value, False) for name in times for value in (0, 0.0, -1.0, float("nan"))),
        *((name, value, True) for name in times for value in (5e-324, 1, inf) if name != "keepalive_time"),
        *(("http2", value, False) for value in ("http2", "", "H2", None)),
        ("compressions", ("gzip", "no-such-coding"), False),
        ("compressions", ("identity",), False),
        ("compression", "snappy", False),
        ("compression", "identity", False),
        *own,
    ]
    for side, times, own in (
        (
            ClientConfig,
            TIMES,
            [
                *(("keepalive_time", value, value >= 10) for value in (1, 9.999, 10, 10.001, inf)),
                *(
                    ("authority", value, False)
                    for value in ("", "a b", "a/b", "a@b", "é", "a\n", 'a"b', "a?b", "a#b", "\\")
                ),
                *(("user_agent", value, False) for value in ("\x1f", "\x7f", "é", "a\r\nb", "a\n")),
                *(("user_agent", value, True) for value in (" ", "~", "grpc/1.0 (x; y)")),
                *(("scheme", value, False) for value in ("", "ftp", "HTTP", "https:")),
            ],
        ),
        (
            ServerConfig,
            TIMES | TIMES_OF_SERVERS,
            [
                *(("max_concurrent_calls", value, value > 0) for value in (-1, 0, 1, 2)),
                *(("keepalive_time", value, True) for value in (0.5, 1, 9.9)),
            ],
        ),
    )
}


def refused(side: type[Config], set_to: dict[str, Any]) -> str:
    """Why, or ""."""
    try:
        side(**set_to)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.req("FRM-5", "FLOW-6", "MD-10", "FLOW-10", "FLOW-12", "CONN-8", "HDR-5", "HDR-11")
@given(st.data(), st.sampled_from((ClientConfig, ServerConfig)))
@settings(max_examples=12, database=None)
def test_each_setting_has_its_default_its_range_and_is_kept(data: st.DataObject, side: type[Config]) -> None:
    """Whatever the others are."""
    table = DEFAULTS[side]
    assert {one.name for one in fields(side)} == set(table)
    set_to = {name: data.draw(LEGAL[name], label=name) for name in data.draw(st.sets(st.sampled_from(sorted(table))))}
    if {"compression", "compressions"} <= set_to.keys() and set_to["compression"] not in (
        None,
        *set_to["compressions"],
    ):
        del set_to["compression"]
    least = set_to.get("max_header_list_size", 0)
    if least > set_to.get("hard_header_list_size", table["hard_header_list_size"]):
        set_to["hard_header_list_size"] = least
    config = side(**set_to)
    assert {name: getattr(config, name) for name in table} == table | set_to
    assert config.settings_timeout == max(config.settings_ack_timeout, 2 * config.keepalive_timeout)
    for name, value, good in EDGES[side]:
        changed = set_to | {name: value}
        if name == "compressions":
            changed.pop("compression", None)
        wrong = refused(side, changed)
        assert (wrong == "") is good, (name, value)
        if wrong and name in SIZES:
            assert f"{name} is {value}: it must be from " in wrong
        elif wrong:
            assert name.removesuffix("s") in wrong or "coding" in wrong
        else:
            assert getattr(side(**changed), name) == value
    for low in (1, config.max_header_list_size, config.hard_header_list_size):
        assert refused(side, set_to | {"max_header_list_size": low, "hard_header_list_size": low}) == ""
        below = min(low, 2**31 - 2)
        wrong = refused(side, set_to | {"max_header_list_size": below + 1, "hard_header_list_size": below})
        assert f"hard_header_list_size is {below}: it must be from {below + 1} to" in wrong


@given(st.dictionaries(st.sampled_from(sorted(ABUSE)), st.integers(1, 10**6)))
@settings(max_examples=20, database=None)
def test_each_tolerance_has_its_default_and_is_kept(set_to: dict[str, Any]) -> None:
    assert {one.name for one in fields(AbuseLimits)} == set(ABUSE)
    limits = AbuseLimits(**set_to)
    assert {name: getattr(limits, name) for name in ABUSE} == ABUSE | set_to


@given(st.sampled_from(Limit))
@settings(database=None)
def test_each_limit_is_a_setting(limit: Limit) -> None:
    found = []
    for side in (ClientConfig(), ServerConfig()):
        try:
            found.append(reduce(getattr, limit.value.split("."), side))
        except AttributeError:
            continue
    assert found
    assert limit.name.lower() == limit.value.rpartition(".")[2]
