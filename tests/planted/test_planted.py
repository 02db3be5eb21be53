"""The simulator finds faults that are planted in the engine, and nothing in changes that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from .patches import BUGS, NEUTRAL, Patch, PatchError, hunted, package

#: In processor time, so that a fault that nothing finds does not take hours. Found are all in less than ten.
SECONDS = 120
#: Found sooner where nobody gives up: each takes several blocked calls, or many credits.
CALM = {"credit_of_early_bytes_forgotten", "settings_wake_nobody", "window_update_wakes_another_call"}


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_fault_is_found(name: str) -> None:
    patch = Patch.read(BUGS[name])
    assert patch.rule
    with package(patch) as folder:
        found = hunted(folder, seed=0, runs=20_000, seconds=SECONDS, calm=name in CALM)
    assert found.number is not None, f"nothing in {found.runs} runs"
    assert "NameError" not in found.message, "the patch names what its module does not have"


@pytest.mark.parametrize("name", NEUTRAL)
def test_a_change_that_breaks_no_rule_is_no_alarm(name: str) -> None:
    with package(Patch.read(NEUTRAL[name])) as folder:
        found = hunted(folder, seed=0, runs=50, seconds=SECONDS)
    assert found.number is None, found.message
    assert found.runs == 50


def test_the_engine_as_it_is_has_none_of_these_faults() -> None:
    with package(None) as folder:
        found = hunted(folder, seed=0, runs=300, seconds=SECONDS)
    assert found.number is None, found.message


def test_a_patch_that_does_not_fit_any_more_says_so(tmp_path: Path) -> None:
    patch = tmp_path / "old.patch"
    diff = "--- a/status.py\n+++ b/status.py\n@@ -1 +1 @@\n-no such line\n+another one\n"
    patch.write_text(f"What: of another time.\nRule: none.\nWho: nobody.\n\n{diff}")
    with pytest.raises(PatchError, match=r"stands 0 times in status\.py"), package(Patch.read(patch)):
        pass


def test_a_patch_without_a_word_about_it_is_none(tmp_path: Path) -> None:
    patch = tmp_path / "silent.patch"
    patch.write_text("Rule: none.\n\n--- a/status.py\n+++ b/status.py\n")
    with pytest.raises(PatchError, match="the header has Rule"):
        Patch.read(patch)
