"""The public page is exact: each package says literally what it offers, and a file under version control repeats it."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

from scripts import public_page

PACKAGES = [(name, path) for name, path in public_page.packages() if public_page.binds_names(path)]


@pytest.fixture(params=PACKAGES, ids=[name for name, _ in PACKAGES])
def package(request: pytest.FixtureRequest) -> tuple[str, Path]:
    named: tuple[str, Path] = request.param
    return named


def test_there_are_packages_to_read() -> None:
    assert {"duplexcore", "duplexcore_anyio"} <= {name for name, _ in PACKAGES}


def test_all_is_literal_and_every_name_exists_once(package: tuple[str, Path]) -> None:
    name, path = package
    names = public_page.literal_all(path)  # its order is ruff's business (RUF022)
    assert names is not None, f"{name} has no __all__"
    assert len(names) == len(set(names))
    module = importlib.import_module(name)
    assert [missing for missing in names if not hasattr(module, missing)] == []
    assert [private for private in names if private.startswith("_") and private != "__version__"] == []


def test_nothing_public_is_left_out_of_all(package: tuple[str, Path]) -> None:
    name, path = package
    module = importlib.import_module(name)
    bound = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_") and not inspect.ismodule(value) and key != "annotations"
    }
    assert bound - set(public_page.literal_all(path) or ()) == set()


def documented_values() -> dict[str, set[str]]:
    """Names of module-level values with a ``#:`` comment above or a text below, per module."""
    found: dict[str, set[str]] = {}
    for directory in public_page.PACKAGE_DIRECTORIES:
        for path in directory.rglob("*.py"):
            parts = path.relative_to(directory).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            text = path.read_text(encoding="utf-8")
            lines, body = text.splitlines(), ast.parse(text).body
            for index, node in enumerate(body):
                targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
                names = {target.id for target in targets if isinstance(target, ast.Name)}
                after = body[index + 1] if index + 1 < len(body) else None
                if lines[node.lineno - 2].startswith("#:") or (
                    isinstance(after, ast.Expr)
                    and isinstance(after.value, ast.Constant)
                    and isinstance(after.value.value, str)
                ):
                    found.setdefault(module, set()).update(names)
    return found


def test_every_public_name_is_documented(package: tuple[str, Path]) -> None:
    name, path = package
    module, values = importlib.import_module(name), documented_values()
    top = name.partition(".")[0]
    silent = []
    for offered in public_page.literal_all(path) or ():
        if offered == "__version__":
            continue
        thing = getattr(module, offered)
        if inspect.isclass(thing) or inspect.isroutine(thing):
            text = thing.__doc__ or ""
            if not text.strip() or text.startswith(f"{offered}("):  # what @dataclass writes when nobody has
                silent.append(offered)
        elif not inspect.ismodule(thing) and not any(
            offered in names for where, names in values.items() if where.partition(".")[0] == top
        ):
            silent.append(offered)
    assert silent == [], f"{name}: a docstring (or, for a value, a `#:` comment above) is missing for {silent}"


def test_the_page_is_as_written() -> None:
    assert public_page.difference() == "", (
        "the packages offer something else than tests/house/public_page.txt says: if that is meant, run"
        " `python scripts/public_page.py` and say it in CHANGELOG.md"
    )
