"""What the server saw of a client, by rule."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Check", "Verdict"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a client must do; ``came`` says what it did where that was something else."""

    rule: str
    what: str
    passed: bool
    came: str = ""

    def __str__(self) -> str:
        text = f"{self.what} ({self.rule})"
        return text if self.passed else f"{text}: {self.came or 'it did not'}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One connection: what the client did, as far as the wire shows. The status of a call is the client's to show."""

    case: str
    #: Counts the connections of the case, from 1.
    connection: int
    checks: tuple[Check, ...]
    #: The client's frames in a few words each, the first 200.
    frames: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)

    def __str__(self) -> str:
        told = self.checks if self.passed else self.failures
        return f"{self.case} #{self.connection} {'pass' if self.passed else 'FAIL'}: {'; '.join(map(str, told))}"

    def as_json(self) -> dict[str, object]:
        """As plain values, for a file."""
        return {
            "case": self.case,
            "connection": self.connection,
            "passed": self.passed,
            "checks": [
                {"rule": check.rule, "what": check.what, "passed": check.passed, "came": check.came}
                for check in self.checks
            ],
            "frames": list(self.frames),
        }
