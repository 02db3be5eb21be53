"""Which mutants are left out before any is drawn: those that change nothing that a program could notice.

The rules look at the place of a change, never at what became of a mutant. Each says why.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["RULES", "LeftOut"]

Position = tuple[int, int]
Place = tuple[Position, Position]
#: Arguments of dataclasses and their fields that hinder mistakes of programmers, save memory, or are for debuggers.
MANNERS = frozenset(("frozen", "slots", "kw_only", "repr", "match_args"))
#: Decorators that tell something to type checkers, forbid what nobody does, or remember results.
MARKS = frozenset(("override", "final", "overload", "runtime_checkable", "abstractmethod", "dataclass_transform"))
MEMORIES = frozenset(("lru_cache", "cache"))
#: Equality in the place of identity and the other way round, in the words of cosmic-ray.
TO_EQUAL = frozenset(("ReplaceComparisonOperator_Is_Eq", "ReplaceComparisonOperator_IsNot_NotEq"))
TO_SAME = frozenset(("ReplaceComparisonOperator_Eq_Is", "ReplaceComparisonOperator_NotEq_IsNot"))
#: Whole numbers of which CPython has one object each.
SHARED = range(-5, 257)


def place_of(node: Any) -> Place:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def name_of(node: ast.expr) -> str:
    """Of a decorator or a function that is called."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def types(tree: ast.Module) -> Iterator[Place]:
    """Annotations, and what is imported for type checkers: never evaluated."""
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            of = getattr(node, name, None)
            if of is not None:
                yield place_of(of)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield place_of(node)


def manners(tree: ast.Module) -> Iterator[Place]:
    """Whether values can be assigned to, have slots, take names only, are shown: no call of gRPC differs by it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in MANNERS:
            yield place_of(node)


def signatures(tree: ast.Module) -> Iterator[Place]:
    """The star before arguments that are given by name, which is taken for an operator: nobody gives them without."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.args.kwonlyargs and not node.args.vararg:
            of = node.args
            ends = [place_of(one)[1] for one in (*of.posonlyargs, *of.args, *of.defaults)]
            yield max(ends, default=place_of(node)[0]), place_of(of.kwonlyargs[0])[0]


def marks(tree: ast.Module) -> Iterator[Place]:
    """Decorators for type checkers and of abstract methods; memories of results, and how much they hold."""
    sizes = set()
    for node in ast.walk(tree):
        for decorator in getattr(node, "decorator_list", ()):
            if name_of(decorator) in MARKS | MEMORIES:
                (line, column), end = place_of(decorator)
                yield (line, column - 1), end  # with its "@"
            if name_of(decorator) in MEMORIES and isinstance(decorator, ast.Call):
                sizes |= {one.id for one in decorator.args if isinstance(one, ast.Name)}
    for node in tree.body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id in sizes:
            yield place_of(node)


def words(tree: ast.Module) -> Iterator[Place]:
    """Texts with values in them that say what was wrong, and `__repr__`: for people."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise):
            yield from (place_of(one) for one in ast.walk(node) if isinstance(one, ast.JoinedStr))
        if isinstance(node, ast.FunctionDef) and node.name == "__repr__":
            yield place_of(node)


def promises(tree: ast.Module) -> Iterator[Place]:
    """`assert`: what always holds, for type checkers and readers."""
    yield from (place_of(node) for node in ast.walk(tree) if isinstance(node, ast.Assert))


#: By name: where no mutant is drawn.
RULES: dict[str, Callable[[ast.Module], Iterator[Place]]] = {
    "types": types,
    "manners": manners,
    "marks": marks,
    "words": words,
    "promises": promises,
    "signatures": signatures,
}


def is_constant(node: ast.expr) -> bool:
    """Whether what equals it is the same object: None, truth, small whole numbers."""
    return isinstance(node, ast.Constant) and (
        node.value is None or (type(node.value) in (bool, int) and node.value in SHARED)
    )


def is_member(node: ast.expr | None) -> bool:
    """A member of an enumeration: equal only to itself, but for numbers that are given for it."""
    return isinstance(node, ast.Attribute) and node.attr.isupper()


def short_names(tree: ast.Module) -> set[str]:
    """Of members, as modules give them to look them up once: ``_OPEN: Final = StreamState.OPEN``."""
    found = [(one.target, one.value) for one in tree.body if isinstance(one, ast.AnnAssign)]
    return {target.id for target, value in found if isinstance(target, ast.Name) and is_member(value)}


def is_type_of(node: ast.expr) -> bool:
    """``type(value)``: a class is equal to itself only."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "type"


class LeftOut:
    """Of one module: which rule leaves a change out?"""

    def __init__(self, source: str) -> None:
        tree = ast.parse(source)
        self._members = short_names(tree)
        self._places = [(place, name) for name, rule in RULES.items() for place in rule(tree)]
        self._compared = [
            ((place_of(left)[1], place_of(right)[0]), (left, right))
            for node in ast.walk(tree)
            if isinstance(node, ast.Compare)
            for left, right in zip([node.left, *node.comparators], node.comparators, strict=False)
        ]

    def by(self, operator: str, at: Position) -> str | None:
        """The name of the rule; None: it stays in. "identity": what is equal there is the same object."""
        for (begin, end), name in self._places:
            if begin <= at < end:
                return name
        kind = operator.rpartition("/")[2]
        for (begin, end), sides in self._compared if kind in TO_EQUAL | TO_SAME else ():
            if begin <= at < end and any(is_constant(one) or (kind in TO_EQUAL and self._is_one(one)) for one in sides):
                return "identity"
        return None

    def _is_one(self, node: ast.expr) -> bool:
        """Whether what equals it is itself, numbers apart."""
        return is_member(node) or is_type_of(node) or (isinstance(node, ast.Name) and node.id in self._members)
