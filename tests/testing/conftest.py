"""Fixtures of the tests of tools for other people's servers."""

from __future__ import annotations

import pytest

from duplexcore.testing.probe import talk
from tests.support.memory import Network


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """What the probe and the black box dial instead of the machine's."""
    network = Network()
    monkeypatch.setattr(talk, "dial", network.dial)
    return network
