"""What can be set, and what can not."""

from typing import Any

import pytest

from duplexcore import ClientConfig, ServerConfig
from duplexcore.config import MAX_MESSAGE, MAX_WINDOW, MIB, Config, check_authority

SIDES = pytest.mark.parametrize("side", [ClientConfig, ServerConfig])


@pytest.mark.req("FRM-5", "FLOW-6", "MD-10", "FLOW-10", "CONN-8")
@SIDES
def test_the_defaults(side: type[Config]) -> None:
    config = side()
    assert config.max_receive_message_size == 4 * MIB == 4_194_304
    assert config.max_send_message_size == 2**32 - 1
    assert config.stream_window == 256 * 1024
    assert config.connection_window == MIB
    assert config.send_buffer == 64 * 1024
    assert (config.max_header_list_size, config.hard_header_list_size) == (8 * 1024, 16 * 1024)
    assert config.max_frame_size == 16_384
    assert ServerConfig().max_concurrent_calls == 1_000


BOUNDS = [
    ("max_receive_message_size", 0, MAX_MESSAGE),
    ("max_send_message_size", 0, MAX_MESSAGE),
    ("send_buffer", 1, MAX_WINDOW),
    ("stream_window", 65_535, MAX_WINDOW),
    ("connection_window", 65_535, MAX_WINDOW),
    ("max_frame_size", 16_384, 2**24 - 1),
    ("max_header_list_size", 1, 16 * 1024),
    ("hard_header_list_size", 8 * 1024, MAX_WINDOW),
]


@pytest.mark.req("FLOW-6", "FLOW-12")
@SIDES
@pytest.mark.parametrize(("name", "low", "high"), BOUNDS)
def test_sizes_have_bounds(side: Any, name: str, low: int, high: int) -> None:
    for value in (low, high):
        assert getattr(side(**{name: value}), name) == value
    for value in (low - 1, high + 1):
        with pytest.raises(ValueError, match=r"must be from \d+ to \d+"):
            side(**{name: value})


@SIDES
@pytest.mark.parametrize("value", [0, -1.0])
def test_the_handshake_needs_time(side: type[Config], value: float) -> None:
    with pytest.raises(ValueError, match="handshake_timeout"):
        side(handshake_timeout=value)


@pytest.mark.parametrize(
    ("name", "value", "config"),
    [
        ("http2", "http2", ClientConfig),
        ("http2", "", ServerConfig),
        ("scheme", "ftp", ClientConfig),
        ("authority", "two words", ClientConfig),
        ("max_concurrent_calls", 0, ServerConfig),
    ],
)
def test_other_values_that_can_not_work(name: str, value: Any, config: type[Config]) -> None:
    with pytest.raises(ValueError, match=name):
        config(**{name: value})


@pytest.mark.req("HDR-5")
@pytest.mark.parametrize(
    "authority", ["localhost", "example.com:443", "[::1]:50051", "a_b-c.d", "%2Frun%2Fsock", "*.x"]
)
def test_a_legal_authority_is_taken(authority: str) -> None:
    assert check_authority(authority) == authority


@pytest.mark.req("HDR-5")
@pytest.mark.parametrize(
    "authority", ["", "a b", "a/b", "a?b", "a#b", "a\r\nb: c", "é", "a\n", "user@host", 'a"b', "a\\b"]
)
def test_an_authority_that_is_none_is_refused(authority: str) -> None:
    with pytest.raises(ValueError, match="authority"):
        check_authority(authority)


@pytest.mark.req("HDR-11")
@pytest.mark.parametrize("user_agent", ["a\r\nb: c", "é", "tab\t", "\0"])
def test_a_user_agent_that_can_not_stand_in_a_header_is_refused(user_agent: str) -> None:
    with pytest.raises(ValueError, match="user_agent"):
        ClientConfig(user_agent=user_agent)
