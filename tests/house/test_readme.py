"""README begins with the two commands, and shows the examples as they are."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_two_commands_come_first() -> None:
    first_block = README.split("```")[1]
    commands = [line.split("#")[0].strip() for line in first_block.splitlines()[1:] if line]
    assert commands == ["$ make demo", "$ make test"]


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_stand_in_it_word_for_word(path: Path) -> None:
    assert f"```python\n{path.read_text(encoding='utf-8')}```\n" in README
