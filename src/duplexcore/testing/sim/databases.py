"""Where workers share what they find: any of Hypothesis's example databases, by an address.

``redis://HOST:PORT/NUMBER`` (or ``rediss://``, ``unix://``) is a Redis server, ``memory:`` lives and dies with the
process, anything else is a folder. Redis needs the extra ``redis``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from hypothesis.database import (
    DirectoryBasedExampleDatabase,
    ExampleDatabase,
    InMemoryExampleDatabase,
    MultiplexedDatabase,
    ReadOnlyDatabase,
)

__all__ = ["DatabaseError", "MissingPackageError", "ReachableDatabase", "opened", "without_password"]

T = TypeVar("T")

REDIS = ("redis", "rediss", "unix")
#: Before the name of each key at a Redis server.
PREFIX = b"duplexcore-fuzz:"
#: How long a server may take to let us in, and to answer, in seconds.
CONNECT_TIMEOUT, ANSWER_TIMEOUT = 2.0, 5.0


class DatabaseError(Exception):
    """The database can not be used, now or at all. The text says which, and why."""


class MissingPackageError(DatabaseError):
    """A package is not installed: ``package``, which the extra ``extra`` brings."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"a database at redis:// needs {package}, which is not installed")
        self.package = package
        self.extra = extra


def opened(address: str, read_only: Sequence[str] = ()) -> ExampleDatabase:
    """The database at an address; those of ``read_only`` are read beside it, and never written to.

    Raises `DatabaseError` where there is none, or no answer; ValueError for an address that can not be one.
    """
    database = _opened(address)
    if not read_only:
        return database
    return MultiplexedDatabase(database, *(ReadOnlyDatabase(_opened(one)) for one in read_only))


def without_password(address: str) -> str:
    """An address as it may be shown."""
    hidden = re.sub(r"^(\w+://[^/@:]*):[^/@]*@", r"\1:***@", address)
    return re.sub(r"([?&]password=)[^&]*", r"\1***", hidden)


def _opened(address: str) -> ExampleDatabase:
    scheme, separator, _ = address.partition("://")
    if separator:
        if scheme not in REDIS:
            raise ValueError(f"{without_password(address)!r} is no database: use redis://HOST:PORT/NUMBER, or a folder")
        return _redis(address)
    if address == "memory:":
        return InMemoryExampleDatabase()
    return _folder(Path(address))


def _folder(path: Path) -> ExampleDatabase:
    # Hypothesis keeps quiet where it can not write.
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise DatabaseError(f"{path} can not be a database: {error.strerror}") from error
    return DirectoryBasedExampleDatabase(path)


def _redis(address: str) -> ExampleDatabase:
    try:
        import redis  # noqa: PLC0415 - the extra `redis`
        from hypothesis.extra.redis import RedisExampleDatabase  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingPackageError("redis", "redis") from error
    try:
        client = redis.Redis.from_url(
            address,
            socket_connect_timeout=CONNECT_TIMEOUT,
            socket_timeout=ANSWER_TIMEOUT,
            retry=None,  # whoever uses it knows better when to try again
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"{without_password(address)!r} is no address of a Redis server: {error}") from error
    database = ReachableDatabase(RedisExampleDatabase(client, key_prefix=PREFIX), address, redis.RedisError)
    list(database.fetch(b""))  # whether it answers
    return database


class ReachableDatabase(ExampleDatabase):
    """A database behind a network: what goes wrong there is a `DatabaseError` that names the address.

    ``failure``: what its client raises, besides OSError.
    """

    def __init__(self, database: ExampleDatabase, address: str, failure: type[Exception]) -> None:
        super().__init__()
        self._database = database
        self._name = without_password(address)
        self._failures = (failure, OSError)

    def _ask(self, question: Callable[[], T]) -> T:
        """The answer. Raises `DatabaseError`."""
        try:
            return question()
        except self._failures as error:
            raise DatabaseError(f"{self._name} can not be used: {error}") from error

    def fetch(self, key: bytes) -> Iterable[bytes]:
        return self._ask(lambda: list(self._database.fetch(key)))

    def save(self, key: bytes, value: bytes) -> None:
        self._ask(lambda: self._database.save(key, value))

    def delete(self, key: bytes, value: bytes) -> None:
        self._ask(lambda: self._database.delete(key, value))
