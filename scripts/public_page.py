"""The public page: every name that the packages offer, and every public member of the classes among them.

    python scripts/public_page.py             write tests/house/public_page.txt
    python scripts/public_page.py --check     exit 1 if that file is not what the code offers

A name that appears or goes away shows in the diff of one file, and in the changelog.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "tests" / "house" / "public_page.txt"
PACKAGE_DIRECTORIES = (ROOT / "src", ROOT / "transports")


def packages() -> Iterator[tuple[str, Path]]:
    """Name and ``__init__.py`` of each package whose name has no leading underscore."""
    for directory in PACKAGE_DIRECTORIES:
        for path in sorted(directory.rglob("__init__.py")):
            parts = path.parent.relative_to(directory).parts
            if not any(part.startswith("_") for part in parts):
                yield ".".join(parts), path


def binds_names(path: Path) -> bool:
    """Whether the module does more than to hold a docstring."""
    return len(ast.parse(path.read_text(encoding="utf-8")).body) > 1


def literal_all(path: Path) -> list[str] | None:
    """The module's ``__all__`` as the source spells it; None if there is none, ValueError if it is computed."""
    found: list[str] | None = None
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        targets: list[ast.expr]
        value: ast.expr | None
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign | ast.AugAssign):
            targets, value = [node.target], node.value
        else:
            continue
        if not any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            continue
        if found is not None or isinstance(node, ast.AugAssign) or not isinstance(value, ast.List | ast.Tuple):
            raise ValueError(f"{path}: __all__ is not one literal list")
        found = []
        for element in value.elts:
            if not (isinstance(element, ast.Constant) and isinstance(element.value, str)):
                raise ValueError(f"{path}: __all__ holds something other than literal text")
            found.append(element.value)
    return found


def members(cls: type) -> Iterator[str]:
    """Public members that the class, or a base of it that is ours, defines."""
    names: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] in ("duplexcore", "duplexcore_anyio"):
            names.update(name for name in vars(base) if not name.startswith("_"))
            names.update(name for name in inspect.get_annotations(base) if not name.startswith("_"))
    yield from sorted(names)


def offered(module: ModuleType, names: list[str]) -> Iterator[str]:
    """One line per name and member."""
    for name in sorted(names):
        thing = getattr(module, name)
        yield f"{module.__name__}.{name}"
        if inspect.isclass(thing) and thing.__module__.partition(".")[0] in ("duplexcore", "duplexcore_anyio"):
            yield from (f"{module.__name__}.{name}.{member}" for member in members(thing))


def page() -> str:
    """The whole page."""
    lines: list[str] = []
    for name, path in packages():
        names = literal_all(path)
        if names is not None:
            lines += offered(importlib.import_module(name), names)
    return "\n".join(lines) + "\n"


def difference() -> str:
    """What the written page and the code disagree about; empty if nothing."""
    written = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    return "".join(
        difflib.unified_diff(
            written.splitlines(keepends=True), page().splitlines(keepends=True), PAGE.name, "the code", n=0
        )
    )


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="The names that the packages offer.")
    parser.add_argument("--check", action="store_true", help="exit 1 if the written page is stale")
    if parser.parse_args(argv).check:
        print(difference(), end="")
        return 1 if difference() else 0
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
