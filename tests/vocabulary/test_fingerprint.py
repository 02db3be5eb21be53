"""Digests of states: equal for equal states, in any process."""

import copy
import os
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from duplexcore import ClientConfig, ClientConnection, Metadata, ServerConfig, ServerConnection, Status, StatusCode
from duplexcore.config import Http2
from duplexcore.fingerprint import fingerprint

ROOT = str(Path(__file__).resolve().parents[2])


@dataclass(frozen=True, slots=True)
class Slotted:
    a: object
    b: object = None


class Plain:
    def __init__(self, **attributes: object) -> None:
        self.__dict__.update(attributes)


class Canonical:
    def __init__(self, shown: object, hidden: object) -> None:
        self.shown, self.hidden = shown, hidden

    def fingerprint_state(self) -> object:
        return self.shown


def cyclic(name: str) -> Plain:
    one = Plain(name=name)
    one.self = one  # type: ignore[attr-defined]
    return one


def member(*values: str) -> object:
    """Of an enumeration, with a value that each process goes through in another order."""
    colours: Any = Enum("colours", {"RED": frozenset(values)})
    return colours.RED


OK, EMPTY = Status(), Metadata()
EQUAL: list[tuple[Any, Any]] = [
    ([1, "a", None], [1, "a", None]),
    ({"a", "b", "c"}, {"c", "b", "a"}),
    (b"ab", bytearray(b"ab")),
    (memoryview(b"xab")[1:], b"ab"),
    (Slotted(1, [2]), Slotted(1, [2])),
    (Plain(a=1, b=2), Plain(b=2, a=1)),
    (Canonical(1, 2), Canonical(1, 3)),
    (cyclic("x"), cyclic("x")),
    (deque([1]), deque([1], maxlen=None)),
    (Metadata({"a": "1"}), Metadata([("a", "1")])),
    (range(3), range(3)),
    ([OK, OK], [OK, Status()]),  # values may be shared or not
    ([EMPTY, EMPTY], [EMPTY, Metadata()]),
    (len, len),
    (member("a", "b"), member("c", "d")),  # by name: the class has one value for it
    ("\ud800", "\ud800"),
]
DIFFERENT: list[tuple[Any, Any]] = [
    (1, "1"),
    (1, 2),
    ([1, 2], [2, 1]),
    ([[1], 2], [[1, 2]]),
    (b"ab", "ab"),
    ({"a": 1}, {"a": 2}),
    (Slotted(1), Slotted(2)),
    (Plain(a=1), Plain(b=1)),
    (Plain(a=1), Slotted(1)),
    (StatusCode.OK, 0),
    (Status(), Status(StatusCode.UNKNOWN)),
    (Canonical(1, 2), Canonical(2, 2)),
    (cyclic("x"), cyclic("y")),
    (range(3), range(4)),
    (len, repr),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal_states_have_equal_digests(one: Any, other: Any) -> None:
    assert fingerprint(one) == fingerprint(other)
    assert len(fingerprint(one)) == 16


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_states_have_different_digests(one: Any, other: Any) -> None:
    assert fingerprint(one) != fingerprint(other)


PARTS = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-2, 2),
        st.sampled_from((b"", b"a", b"aa", b"1:a", "", "a", "a;", "b'a'", 0.0, 1.0)),
        st.sampled_from((StatusCode.OK, StatusCode.UNKNOWN, range(1), range(1, 2))),
    ),
    lambda parts: st.one_of(
        st.lists(parts, max_size=3),
        st.lists(parts, max_size=3).map(tuple),
        st.dictionaries(st.sampled_from("ab"), parts, max_size=2),
        st.builds(Slotted, parts, parts),
    ),
    max_leaves=5,
)


@given(PARTS, PARTS)
@example([], [b""])
@example([b"a"], [b"", "a"])
@example([b"bytes:"], [b"", b""])
@settings(max_examples=200, database=None)
def test_digests_are_equal_for_equal_states_alone(one: Any, other: Any) -> None:
    assert (fingerprint(one) == fingerprint(other)) is (repr(one) == repr(other))
    assert fingerprint(one) == fingerprint(copy.deepcopy(one))
    assert fingerprint([one, other]) != fingerprint([[one, other]]) != fingerprint(([one], [other]))
    assert (fingerprint([one, other]) == fingerprint([other, one])) is (repr(one) == repr(other))


def test_one_object_twice_is_told_from_two_equal_ones() -> None:
    shared: list[int] = []
    assert fingerprint([shared, shared]) != fingerprint([[], []])


def conversation(http2: Http2) -> tuple[str, str]:
    """The digests of two connections in the middle of a call."""
    client = ClientConnection(ClientConfig(http2=http2), now=0.0)
    server = ServerConnection(ServerConfig(http2=http2), now=0.0)
    call = client.start_call("/a/b", {"x": "1", "authorization": "s"}, deadline=5.0)
    call.send_message(b"question")
    for _ in range(3):
        server.receive_data(client.data_to_send(0.0), 0.0)
        client.receive_data(server.data_to_send(0.0), 0.0)
    return client.fingerprint().hex(), server.fingerprint().hex()


@pytest.mark.parametrize("http2", get_args(Http2))
def test_the_digest_is_the_same_in_any_process(http2: Http2) -> None:
    code = (
        f"import sys; sys.path.insert(0, {ROOT!r}); from {__name__} import conversation; print(conversation({http2!r}))"
    )
    for seed in ("0", "1", "12345"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == str(conversation(http2))
