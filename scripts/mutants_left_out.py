"""Which mutants are left out before any is drawn: those that change nothing that a program could notice.

The rules look at the place of a change, never at what became of a mutant. Each says why.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["RULES", "Declared", "LeftOut"]

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
#: What means the same where the left side is never less than the right one, and where it is never more.
AT_LEAST = (frozenset(("Is", "Eq", "LtE")), frozenset(("IsNot", "NotEq", "Gt")))
AT_MOST = (frozenset(("Is", "Eq", "GtE")), frozenset(("IsNot", "NotEq", "Lt")))
#: What means the same where the left side is a number and the right one is infinite.
BELOW_INFINITY = frozenset(("NotEq", "Lt"))
#: What means the same of whole numbers that have no bit in common.
DISJOINT = frozenset(("BitOr", "BitXor", "Add"))
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


def short_names(tree: ast.Module) -> dict[str, ast.expr]:
    """Of members, as modules give them to look them up once: ``_OPEN: Final = StreamState.OPEN``."""
    found = [(one.target, one.value) for one in tree.body if isinstance(one, ast.AnnAssign)]
    return {target.id: value for target, value in found if isinstance(target, ast.Name) and value and is_member(value)}


def is_type_of(node: ast.expr) -> bool:
    """``type(value)``: a class is equal to itself only."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "type"


@dataclass(slots=True)
class Declared:
    """What the modules say of their classes: the members of each IntEnum; of others the names of their bases, and the
    types of attributes that have an annotation. Names that stand for two classes are forgotten. And the whole numbers
    that modules give a name for good, unless the name stands for something else in another one."""

    members: dict[str, dict[str, int]] = field(default_factory=dict)
    bases: dict[str, list[str]] = field(default_factory=dict)
    attributes: dict[str, dict[str, str]] = field(default_factory=dict)
    constants: dict[str, int] = field(default_factory=dict)

    @classmethod
    def in_modules(cls, sources: Iterable[str]) -> Declared:
        nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
        found = [node for node in nodes if isinstance(node, ast.ClassDef)]
        often = Counter(node.name for node in found)
        self = cls(constants=final_numbers(nodes))
        for node in found:
            if often[node.name] > 1:
                continue
            self.bases[node.name] = [name_of(base) for base in node.bases]
            if self.bases[node.name] == ["IntEnum"]:
                self.members[node.name] = numbers(node)
            self.attributes[node.name] = dict(annotated(node))
        return self

    def type_of(self, attribute: str, owner: str) -> str | None:
        """Of an attribute of a class, as the class or one above it declares it. mypy holds all below to it."""
        if attribute in self.attributes.get(owner, ()):
            return self.attributes[owner][attribute]
        above = (self.type_of(attribute, base) for base in self.bases.get(owner, ()))
        return next((one for one in above if one is not None), None)


def numbers(node: ast.ClassDef) -> dict[str, int]:
    """The members of an IntEnum; none unless all are given as numbers."""
    given = [one for one in node.body if isinstance(one, ast.Assign)]
    found = {
        target.id: one.value.value
        for one in given
        for target in one.targets
        if isinstance(target, ast.Name) and isinstance(one.value, ast.Constant) and type(one.value.value) is int
    }
    return found if len(found) == len(given) else {}


def given(nodes: Iterable[ast.AST]) -> Counter[str]:
    """How often each name is given something, in whatever way; what comes from another module here is given there."""
    names: list[str | None] = []
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                names.append(name)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.ExceptHandler():
                names.append(node.name)
            case ast.MatchAs() | ast.MatchStar():
                names.append(node.name)
            case ast.Import() | ast.ImportFrom(level=0):
                names += [one.asname or one.name for one in node.names]
            case ast.ImportFrom():
                names += [one.asname for one in node.names]
            case _:
                pass
    return Counter(name for name in names if name)


def final_numbers(nodes: Sequence[ast.AST]) -> dict[str, int]:
    """Names that are given a whole number as ``Final``, and nothing else in any module."""
    found: dict[str, int] = {}
    often = given(nodes)
    for node in nodes:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            final = isinstance(node.annotation, ast.Name) and node.annotation.id == "Final"
            if final and isinstance(node.value, ast.Constant) and type(node.value.value) is int:
                found[node.target.id] = node.value.value
    return {name: value for name, value in found.items() if often[name] == 1}


def annotated(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """The attributes of a class with the names of their types, if these are plain names."""
    for one in ast.walk(node):
        if isinstance(one, ast.AnnAssign) and isinstance(one.annotation, ast.Name):
            if isinstance(one.target, ast.Attribute) and ast.unparse(one.target.value) == "self":
                yield one.target.attr, one.annotation.id
            elif one in node.body and isinstance(one.target, ast.Name):
                yield one.target.id, one.annotation.id


def owners(tree: ast.Module) -> Iterator[tuple[ast.Compare, dict[str, str]]]:
    """Each comparison in a method, with the classes of "self", of arguments that have an annotation, and of names that
    get one with their only value; not of names that are given another value there."""
    for outer in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        for method in (node for node in outer.body if isinstance(node, ast.FunctionDef)):
            nodes = list(ast.walk(method))
            often = given(nodes)
            known = {one.arg: one.annotation.id for one in method.args.args if isinstance(one.annotation, ast.Name)}
            for one in nodes:
                if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and one.value is not None:
                    known |= {one.target.id: one.annotation.id} if isinstance(one.annotation, ast.Name) else {}
            known = {name: type_ for name, type_ in known.items() if often[name] == 1} | {"self": outer.name}
            yield from ((node, known) for node in nodes if isinstance(node, ast.Compare))


class LeftOut:
    """Of one module: which rule leaves a change out? ``declared``: of all modules, by default of this one alone."""

    def __init__(self, source: str, declared: Declared | None = None) -> None:
        tree = ast.parse(source)
        self._declared = Declared.in_modules([source]) if declared is None else declared
        self._members = short_names(tree)
        self._places = [(place, name) for name, rule in RULES.items() for place in rule(tree)]
        self._owners = dict(owners(tree))
        self._compared = [
            ((place_of(left)[1], place_of(right)[0]), (left, right), self._owners.get(node, {}))
            for node in ast.walk(tree)
            if isinstance(node, ast.Compare)
            for left, right in zip([node.left, *node.comparators], node.comparators, strict=False)
        ]
        self._joined = [
            (place_of(node.left)[1], place_of(node.right)[0])
            for node in ast.walk(tree)
            if isinstance(node, ast.BinOp) and type(node.op).__name__ in DISJOINT
            if -1 not in (left := self._bits(node.left), right := self._bits(node.right)) and not left & right
        ]

    def by(self, operator: str, at: Position) -> str | None:
        """The name of the rule; None: it stays in. "identity": what is equal there is the same object; "bounds": the
        left side is never less, or never more, than the right one; "infinity": it is a number, the right one is
        infinite; "bits": no bit can be set on both sides."""
        for (begin, end), name in self._places:
            if begin <= at < end:
                return name
        kind = operator.rpartition("/")[2]
        for (begin, end), sides, known in self._compared if kind.startswith("ReplaceComparisonOperator_") else ():
            if begin <= at < end:
                return self._compares_the_same(kind, sides, known)
        if kind.startswith("ReplaceBinaryOperator_") and set(kind.split("_")[1:]) <= DISJOINT:
            return "bits" if any(begin <= at < end for begin, end in self._joined) else None
        return None

    def _bits(self, node: ast.expr) -> int:
        """Those that can be set in it, which is a whole number then; -1: any, or it is something else. Numbers below 0
        have all above some bit."""
        match node:
            case ast.Constant(value=int(value)) if type(value) is int and value >= 0:
                return value
            case ast.Name(id=name):
                return self._declared.constants.get(name, -1)
            case ast.IfExp(body=body, orelse=other):
                return self._bits(body) | self._bits(other)
            case ast.BinOp(left=left, op=ast.BitAnd(), right=right):
                return self._bits(left) & self._bits(right)
            case ast.BinOp(left=left, op=ast.LShift(), right=ast.Constant(value=int(by))):
                return self._bits(left) << by
            case _:
                return -1

    def _compares_the_same(self, kind: str, sides: tuple[ast.expr, ast.expr], known: dict[str, str]) -> str | None:
        if (kind in TO_EQUAL | TO_SAME and any(is_constant(one) for one in sides)) or (
            kind in TO_EQUAL and any(self._is_one(one) for one in sides)
        ):
            return "identity"
        pair = set(kind.split("_")[1:])
        if pair <= BELOW_INFINITY and isinstance(sides[1], ast.Name) and sides[1].id == "inf":
            return "infinity"
        same = self._bounds(*sides, known)
        return "bounds" if any(pair <= words for words in same) else None

    def _is_one(self, node: ast.expr) -> bool:
        """Whether what equals it is itself, numbers apart."""
        return is_member(node) or is_type_of(node) or (isinstance(node, ast.Name) and node.id in self._members)

    def _bounds(self, left: ast.expr, right: ast.expr, known: dict[str, str]) -> tuple[frozenset[str], ...]:
        """Which words mean the same between them."""
        member = self._members.get(right.id) if isinstance(right, ast.Name) else right
        if isinstance(member, ast.Attribute) and isinstance(member.value, ast.Name):
            values = self._declared.members.get(member.value.id, {})
            if values and member.attr in values and self._type_of(left, known) == member.value.id:
                least, most = min(values.values()), max(values.values())
                return (*AT_LEAST,) * (values[member.attr] == least) + (*AT_MOST,) * (values[member.attr] == most)
        if isinstance(right, ast.Constant) and type(right.value) is int:
            least, most = self._least_and_most(left, known)
            return (*AT_LEAST,) * (right.value == least) + (*AT_MOST,) * (right.value == most)
        return ()

    def _least_and_most(self, node: ast.expr, known: dict[str, str]) -> tuple[int, int]:
        """What it can be, if it is a length or the rest of a whole number after a division by a small one."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len":
            return 0, sys.maxsize
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and self._type_of(node.left, known) == "int":
            by = node.right.value if isinstance(node.right, ast.Constant) else None
            if type(by) is int and 0 < by in SHARED:
                return 0, by - 1
        return -sys.maxsize, sys.maxsize

    def _type_of(self, node: ast.expr, known: dict[str, str]) -> str | None:
        """Of an argument, or of an attribute of what has a known class."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in known:
            return self._declared.type_of(node.attr, known[node.value.id])
        return known.get(node.id) if isinstance(node, ast.Name) else None
