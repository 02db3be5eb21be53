"""The project stands alone: no path of somebody's machine, no private index, no link to what is not in the tree."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = {
    "",
    ".cfg",
    ".css",
    ".html",
    ".in",
    ".js",
    ".json",
    ".md",
    ".proto",
    ".py",
    ".pyi",
    ".svg",
    ".toml",
    ".txt",
    ".yaml",
}
TEXT |= {".yml", ".mmd", ".sh", ".typed"}

#: A path below one of these belongs to one machine. (In pieces, so that this file passes its own test.)
HOMES = ("home", "mnt", "root", "srv", "Users", "work", "workspace")
MACHINE_PATH = re.compile(r"(?<![\w.:/\-{}])/(?:" + "|".join(HOMES) + r")/\w")
#: Package indexes: where packages come from is the installer's business.
INDEX = re.compile(
    "|".join(("py" + r"pi\.org", "python" + r"hosted\.", r"--(?:extra-)?index" + "-url", "find" + "-links"))
)
OUTSIDE = re.compile(r"\.\./" + r"shared\b|(?<![\w/])" + r"\." + "library/")
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


def tracked() -> list[Path]:
    run = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if run.returncode:
        pytest.skip("not a git checkout")
    return [path for name in run.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("pattern", [MACHINE_PATH, INDEX, OUTSIDE], ids=["machine path", "package index", "outside"])
def test_tracked_files_point_nowhere_outside(pattern: re.Pattern[str]) -> None:
    found = []
    for path in tracked():
        if path.suffix not in TEXT:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if match := pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match[0]}")
    assert found == []


def test_links_in_documents_lead_to_files_of_the_tree() -> None:
    broken = []
    for path in tracked():
        if path.suffix != ".md":
            continue
        for target in LINK.findall(path.read_text(encoding="utf-8")):
            file = target.partition("#")[0]
            if not file or re.match(r"[a-z]+:", file):
                continue
            destination = (path.parent / file).resolve()
            if not destination.is_relative_to(ROOT) or not destination.exists():
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert broken == []


def test_generated_things_are_not_tracked() -> None:
    unwanted = {".venv", "__pycache__", ".requirements", ".hypothesis", "dist", "build", ".build"}
    assert [str(path) for path in tracked() if unwanted & set(path.relative_to(ROOT).parts)] == []
