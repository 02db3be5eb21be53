"""What is made for every call, frame or event: as dataclasses are, but for what is compiled."""

import copy
import pickle
from dataclasses import dataclass, field, fields, replace

import pytest

from duplexcore.values import value


@value
class Empty:
    pass


@value
class Other:
    pass


@value
class One:
    name: str


@value
class Many:
    name: str
    number: int = 7
    known: object = field(default=None, compare=False, repr=False)


@dataclass(unsafe_hash=True)
class Plain:
    name: str
    number: int = 7
    known: object = field(default=None, compare=False, repr=False)


def test_what_is_equal_has_equal_fields_and_the_same_class() -> None:
    others: list[object] = [Other(), "a"]
    assert Empty() == Empty()
    assert Empty() not in others
    assert One("a") == One("a")
    assert One("a") != One("b")
    assert One("a") not in others
    assert Many("a", 1, known="this") == Many("a", 1, known="that")
    assert Many("a", 1) != Many("a", 2)
    assert Many("a", 1) != Many("b", 1)
    assert len({Empty(), Empty(), One("a"), One("a"), Many("a", 1), Many("a", 1, []), Many("a", 2)}) == 4


def test_it_says_what_it_is() -> None:
    assert repr(Empty()) == "Empty()"
    assert repr(One("a")) == "One(name='a')"
    assert repr(Many("a", 1, known="this")) == repr(Plain("a", 1)).replace("Plain", "Many")


@pytest.mark.parametrize("made", [Empty(), One("a"), Many("a", known=[1])])
def test_it_is_a_dataclass_with_slots(made: Empty | One | Many) -> None:
    for same in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made)), replace(made)):
        assert same == made
        assert hash(same) == hash(made)
    assert tuple(one.name for one in fields(made)) == type(made).__match_args__
    assert not hasattr(made, "__dict__")


def test_what_has_no_hash_gives_it_none() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(One([]))  # type: ignore[arg-type]
