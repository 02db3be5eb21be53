"""``pytest --http2 native``: every configuration that does not name its HTTP/2 has that one, in the whole run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_args

import pytest

from duplexcore.config import ClientConfig, Config, Http2, ServerConfig


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--http2", choices=get_args(Http2), help="the default of `http2` in both configurations")


def pytest_configure(config: pytest.Config) -> None:
    if chosen := config.getoption("--http2"):
        _set_default(chosen)


@contextmanager
def by_default(http2: Http2) -> Iterator[None]:
    """For a part of a test."""
    before = Config().http2
    _set_default(http2)
    try:
        yield
    finally:
        _set_default(before)


def _set_default(http2: Http2) -> None:
    for cls in (Config, ClientConfig, ServerConfig):
        made: Any = cls.__init__
        made.__kwdefaults__["http2"] = http2
