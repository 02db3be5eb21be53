"""docs/protocol.md points at the code that decides: every name that it links is there, and no group is forgotten."""

import ast
import re
from pathlib import Path

import pytest

from scripts.requirements import all_ids, group_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "protocol.md"
TEXT = PAGE.read_text(encoding="utf-8")
#: [`name`](file.py)
NAMED = re.compile(r"\[`([\w.]+)`\]\(([^)]+\.py)\)")
#: Groups that are not of the protocol between two peers, or have pages of their own.
ELSEWHERE = {"H2", "RETRY", "SVC", "CHAN", "HLTH", "REFL", "OBS", "PY", "WEB", "D"}


def names_in(path: Path) -> set[str]:
    """What a module defines at its top, and ``Class.name`` for what its classes do."""
    found: set[str] = set()

    def note(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                found.add(prefix + node.name)
                note(node.body, f"{node.name}.")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(prefix + node.name)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found.update(prefix + target.id for target in targets if isinstance(target, ast.Name))

    note(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return found


def test_names_are_found_at_the_top_and_in_classes(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("A: int = 1\nB = C = 2\nclass D:\n    e = 3\n    async def f(self):\n        g = 4\n")
    assert names_in(module) == {"A", "B", "C", "D", "D.e", "D.f"}


@pytest.mark.parametrize(("name", "target"), sorted(set(NAMED.findall(TEXT))))
def test_what_the_page_points_at_exists(name: str, target: str) -> None:
    path = (PAGE.parent / target).resolve()
    assert path.is_file(), f"{target} is no file"
    assert name in names_in(path), f"{target} has no {name}"


def test_every_group_of_the_protocol_has_a_section_that_points_at_code() -> None:
    sections = dict(re.findall(r"^## ([A-Z]+): [^\n]*\n(.*?)(?=^## )", TEXT, re.MULTILINE | re.DOTALL))
    assert set(sections) == {group_of(id_) for id_ in all_ids()} - ELSEWHERE
    for group, text in sections.items():
        assert NAMED.search(text), f"{group} points at no code"


def test_the_links_inside_the_page_lead_to_its_headings() -> None:
    headings = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"(?m)^## (.+)$", TEXT)
    }
    targets = set(re.findall(r"\]\(#([^)]+)\)", TEXT))
    assert targets
    assert targets <= headings


def test_the_disagreements_are_those_of_the_rules() -> None:
    rules = (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8")
    section = re.search(r"^## 21\.(.*?)^## 22\.", rules, re.MULTILINE | re.DOTALL)
    page = re.search(r"^## Where implementations disagree(.*?)^## ", TEXT, re.MULTILINE | re.DOTALL)
    assert section
    assert page
    assert len(re.findall(r"^\| ", section[1], re.MULTILINE)) == len(re.findall(r"^\| ", page[1], re.MULTILINE)) - 1
