"""Python in README.md and docs/ is real: a block marked ``python`` compiles, one marked ``python run`` runs."""

import ast
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>python[^\n`]*)\n(?P<code>.*?)^(?P=indent)```\s*$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Snippet:
    path: Path
    line: int
    info: tuple[str, ...]
    code: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def snippets_in(path: Path, text: str) -> list[Snippet]:
    found = []
    for match in FENCE.finditer(text):
        indent = len(match["indent"])
        code = "\n".join(line[indent:] for line in match["code"].splitlines()) + "\n"
        found.append(Snippet(path, text.count("\n", 0, match.start("code")) + 1, tuple(match["info"].split()), code))
    return found


def all_snippets() -> list[Snippet]:
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [
        snippet
        for path in documents
        if path.exists()
        for snippet in snippets_in(path, path.read_text(encoding="utf-8"))
        if snippet.info[0] == "python"
    ]


SNIPPETS = all_snippets()
RUN = [snippet for snippet in SNIPPETS if "run" in snippet.info]


def test_blocks_are_found_with_their_marks_and_lines() -> None:
    text = "a\n```python run\nx = 1\n```\n- b\n  ```python\n  if x:\n      y = 2\n  ```\n```toml\nz\n```\n"
    assert [(snippet.line, snippet.info, snippet.code) for snippet in snippets_in(ROOT / "a.md", text)] == [
        (3, ("python", "run"), "x = 1\n"),
        (7, ("python",), "if x:\n    y = 2\n"),
    ]


@pytest.mark.parametrize("snippet", SNIPPETS, ids=str)
def test_compiles(snippet: Snippet) -> None:
    assert set(snippet.info) <= {"python", "run"}, f"{snippet}: unknown mark"
    code = "\n" * (snippet.line - 1) + snippet.code
    compile(code, str(snippet.path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


@pytest.mark.parametrize("snippet", RUN, ids=str)
def test_runs(snippet: Snippet, tmp_path: Path) -> None:
    script = tmp_path / "snippet.py"
    script.write_text("\n" * (snippet.line - 1) + snippet.code, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, f"{snippet} (lines as in the document):\n{run.stderr}"
