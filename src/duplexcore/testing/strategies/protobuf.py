"""Messages of any protobuf descriptor, as `duplexcore.testing.descriptors` defines them, drawn by Hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from google.protobuf import message_factory
from hypothesis import strategies as st

from duplexcore.rpc import Method

from ..descriptors.drawing import DEPTH, EDGES, OCTETS, TEXTS, fill

__all__ = ["from_descriptor", "messages_of"]

T = TypeVar("T")

#: Longer edges make examples that nobody can read.
LONGEST = 128
SHORT_TEXTS = [text for text in TEXTS if len(text) <= LONGEST]
SHORT_OCTETS = [octets for octets in OCTETS if len(octets) <= LONGEST]


def from_descriptor(method: Any, *, depth: int = DEPTH) -> st.SearchStrategy[Any]:
    """Requests of a method: a `Method` with a protobuf class, or protobuf's own descriptor of a method. What
    `messages_of` takes is taken as well."""
    if isinstance(method, Method):
        return messages_of(method.request, depth=depth)
    return messages_of(getattr(method, "input_type", method), depth=depth)


def messages_of(descriptor: Any, *, depth: int = DEPTH) -> st.SearchStrategy[Any]:
    """Messages of a class, or of a descriptor: every kind of field, at its edges and absent, one field at most of each
    oneof, maps, enums (also values that they do not name), well-known types, fields that the descriptor does not know,
    and messages within messages, ``depth`` deep at most.

    The dullest is the empty message, or one with the required fields of proto2 alone. Raises TypeError for what is no
    message class and no descriptor of messages.
    """
    descriptor = getattr(descriptor, "DESCRIPTOR", descriptor)
    if not hasattr(descriptor, "fields_by_number"):
        raise TypeError(f"{descriptor!r} is no protobuf message class: it has no DESCRIPTOR with fields")
    return _drawn(message_factory.GetMessageClass(descriptor), depth)


@st.composite
def _drawn(draw: Callable[[st.SearchStrategy[Any]], Any], made: type[Any], depth: int) -> Any:
    message = made()
    fill(message, _HypothesisSource(draw), depth=depth)
    return message


class _HypothesisSource:
    """Each piece of content is drawn by itself, so that each shrinks."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._draw = draw

    def pick(self, what: str, options: Sequence[T]) -> T:
        chosen: T = self._draw(st.sampled_from(options))
        return chosen

    def number(self, least: int, most: int) -> int:
        edges = [edge for edge in EDGES if least <= edge <= most]
        return int(self._draw(st.one_of(st.sampled_from([*edges, least, most]), st.integers(least, most))))

    def floating(self, edges: Sequence[float], width: int) -> float:
        any_other = st.floats(width=32) if width == 32 else st.floats()
        return float(self._draw(st.one_of(st.sampled_from(edges), any_other)))

    def text(self) -> str:
        # Text that UTF-8 can say: no lone surrogates.
        characters = st.characters(codec="utf-8")
        return str(self._draw(st.one_of(st.text(characters, max_size=12), st.sampled_from(SHORT_TEXTS))))

    def octets(self) -> bytes:
        return bytes(self._draw(st.one_of(st.binary(max_size=12), st.sampled_from(SHORT_OCTETS))))
