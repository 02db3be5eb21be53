"""Pairs of connections that are copied instead of shaking hands."""

from __future__ import annotations

from typing import Any

import pytest

from duplexcore import ClientConfig, ServerConfig
from duplexcore.config import Config, Http2
from duplexcore.testing.sim import pairs
from duplexcore.testing.sim.policies import PrngChooser
from duplexcore.testing.sim.targets import EngineTarget

CLOCKS = (0.0, 0.0)


class Told(Config):
    """Remembers what of it is read."""

    read: set[str] = set()

    def __getattribute__(self, name: str) -> Any:
        Told.read.add(name)
        return super().__getattribute__(name)


class ToldClient(Told, ClientConfig):
    """A client's."""


class ToldServer(Told, ServerConfig):
    """A server's."""


@pytest.mark.parametrize("http2", ["h2", "native"])
def test_what_a_configuration_says_of_calls_is_not_read_by_a_handshake(http2: Http2) -> None:
    client, server = ToldClient(http2=http2), ToldServer(http2=http2)
    Told.read.clear()
    pairs._introduced(client, server, CLOCKS)
    assert not Told.read & pairs.OF_CALLS
    assert {"stream_window", "max_concurrent_calls", "keepalive_time"} <= Told.read


def test_a_copy_has_the_configurations_of_its_run_and_is_as_if_it_had_shaken_hands() -> None:
    pairs.forget()
    target, copies = EngineTarget(), 0
    for seed in range(100):
        scenario = target.scenario(PrngChooser(seed))
        if scenario.in_process:
            continue
        known = pairs._known.cache_info().hits
        client, server, frames = pairs.introduced(scenario.client, scenario.server, CLOCKS)
        copies += pairs._known.cache_info().hits - known
        assert client.config is scenario.client
        assert server.config is scenario.server
        (other_client, other_server), other_frames = pairs._introduced(scenario.client, scenario.server, CLOCKS)
        assert frames == other_frames
        assert client.fingerprint() == other_client.fingerprint()
        assert server.fingerprint() == other_server.fingerprint()
    assert copies > 10
