"""``pytest --http2 native``: every configuration that does not name its HTTP/2 has that one, in the whole run."""

from typing import get_args

import pytest

from duplexcore.config import ClientConfig, Config, Http2, ServerConfig


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--http2", choices=get_args(Http2), help="the default of `http2` in both configurations")


def pytest_configure(config: pytest.Config) -> None:
    if chosen := config.getoption("--http2"):
        for cls in (Config, ClientConfig, ServerConfig):
            defaults = cls.__init__.__kwdefaults__
            assert defaults is not None
            defaults["http2"] = chosen
