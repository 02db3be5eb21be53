"""Messages of any protobuf class, from its descriptor alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

__all__ = ["from_descriptor"]

#: Messages within messages, at most so deep.
DEPTH = 4
SIZE = 4

#: Labels of fields: their numbers, and what newer runtimes of protobuf ask instead.
REQUIRED, REPEATED = (2, "is_required"), (3, "is_repeated")
#: Of each type, by its number in FieldDescriptor.
_DOUBLE, _FLOAT, _ENUM, _MESSAGE, _GROUP = 1, 2, 14, 11, 10
_INTEGERS = {3: (True, 64), 4: (False, 64), 5: (True, 32), 6: (False, 64), 7: (False, 32), 13: (False, 32)} | {
    15: (True, 32),
    16: (True, 64),
    17: (True, 32),
    18: (True, 64),
}
_PLAIN: dict[int, Callable[[], st.SearchStrategy[Any]]] = {
    _DOUBLE: st.floats,
    _FLOAT: lambda: st.floats(width=32),
    8: st.booleans,
    # Text that UTF-8 can say: no lone surrogates.
    9: lambda: st.text(st.characters(codec="utf-8"), max_size=12),
    12: lambda: st.binary(max_size=12),
}


def from_descriptor(message_class: type[Any], *, depth: int = DEPTH) -> st.SearchStrategy[Any]:
    """Messages of a generated class: every kind of field, at its edges and absent, one field at most of each oneof,
    maps, enums (also values that an open one does not name), and messages within messages, ``depth`` deep at most.

    The dullest is the empty message, or one with the required fields of proto2 alone. Raises TypeError for what is no
    message class.
    """
    descriptor = getattr(message_class, "DESCRIPTOR", None)
    if descriptor is None or not hasattr(descriptor, "fields"):
        raise TypeError(f"{message_class!r} is no protobuf message class: it has no DESCRIPTOR with fields")
    return _contents(descriptor, depth).map(lambda content: _filled(message_class(), content))


def _contents(descriptor: Any, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    """By name of field: what is set."""
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    oneofs: dict[str, list[Any]] = {}
    for field in descriptor.fields:
        if _is_message(field) and depth <= 0 and not _is_labelled(field, REQUIRED):
            continue
        if field.containing_oneof is not None:
            oneofs.setdefault(field.containing_oneof.name, []).append(field)
        elif _is_labelled(field, REQUIRED):
            required[field.name] = _values(field, depth)
        else:
            optional[field.name] = _values(field, depth)
    groups = [
        st.one_of(st.just({}), *(_values(field, depth).map(_named(field.name)) for field in fields))
        for fields in oneofs.values()
    ]
    plain = st.fixed_dictionaries(required, optional=optional)
    return st.tuples(plain, *groups).map(lambda parts: {name: value for part in parts for name, value in part.items()})


def _named(name: str) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {name: value}


def _values(field: Any, depth: int) -> st.SearchStrategy[Any]:
    if _is_map(field):
        key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
        if _is_message(value) and depth <= 1:
            return st.just({})
        return st.dictionaries(_single(key, depth), _single(value, depth - 1), max_size=SIZE)
    if _is_labelled(field, REPEATED):
        return st.lists(_single(field, depth), max_size=SIZE)
    return _single(field, depth)


def _single(field: Any, depth: int) -> st.SearchStrategy[Any]:
    if _is_message(field):
        return st.deferred(lambda: _contents(field.message_type, depth - 1))
    if field.type == _ENUM:
        named = st.sampled_from([value.number for value in field.enum_type.values])
        return (
            named if getattr(field.enum_type, "is_closed", True) else st.one_of(named, st.integers(-(2**31), 2**31 - 1))
        )
    if field.type in _INTEGERS:
        signed, bits = _INTEGERS[field.type]
        least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        return st.one_of(st.integers(least, most), st.sampled_from((0, 1, least, most)))
    return _PLAIN[field.type]()


def _is_labelled(field: Any, label: tuple[int, str]) -> bool:
    number, name = label
    found = getattr(field, name, None)
    return bool(field.label == number if found is None else found)


def _is_message(field: Any) -> bool:
    return field.type in (_MESSAGE, _GROUP)


def _is_map(field: Any) -> bool:
    return _is_message(field) and bool(field.message_type.GetOptions().map_entry)


def _filled(message: Any, content: dict[str, Any]) -> Any:
    """Sets what is given; a message within is there even when it holds nothing."""
    fields = message.DESCRIPTOR.fields_by_name
    for name, value in content.items():
        field, place = fields[name], None
        if _is_map(field):
            place = getattr(message, name)
            for key, one in value.items():
                if _is_message(field.message_type.fields_by_name["value"]):
                    _filled(place[key], one)
                else:
                    place[key] = one
        elif _is_labelled(field, REPEATED):
            place = getattr(message, name)
            for one in value:
                if _is_message(field):
                    _filled(place.add(), one)
                else:
                    place.append(one)
        elif _is_message(field):
            place = getattr(message, name)
            place.SetInParent()
            _filled(place, value)
        else:
            setattr(message, name, value)
    return message
