"""What a client's call keeps of its requests, so that it can be started again (RETRY-3, RETRY-4)."""

from __future__ import annotations

__all__ = ["Replay", "ReplayBudget"]


class ReplayBudget:
    """How many bytes of requests that have left are kept: by one call, and by all that share the budget.

    A call that sends more is not started again; it is not held up either. Raises ValueError for negative limits.
    """

    __slots__ = ("kept", "per_call", "together")

    def __init__(self, per_call: int = 256 * 1024, together: int = 16 * 1024 * 1024) -> None:
        if per_call < 0 or together < 0:
            raise ValueError("a budget is not negative")
        self.per_call = per_call
        self.together = together
        #: What all calls keep now.
        self.kept = 0


class Replay:
    """The messages of one call that have left, framed as they were, until it is known that the server works on them."""

    __slots__ = ("_budget", "messages", "size")

    def __init__(self, budget: ReplayBudget) -> None:
        self._budget = budget
        self.messages: list[bytes] = []
        self.size = 0

    def keep(self, message: bytes) -> bool:
        """Keeps a message that leaves. False: it is too much, and nothing is kept any more."""
        budget, size = self._budget, len(message)
        if self.size + size > budget.per_call or budget.kept + size > budget.together:
            self.drop()
            return False
        self.messages.append(message)
        self.size += size
        budget.kept += size
        return True

    def drop(self) -> None:
        """Keeps nothing any more."""
        self._budget.kept -= self.size
        self.size = 0
        self.messages.clear()
