"""A gRPC server that breaks the rules on purpose, one case a port, to see what clients make of it.

``async with misbehave("rst_after_header") as server`` for tests; ``duplexcore interop http2`` for everybody. Built on
raw frames: nothing of the engine is in it, so that it can judge the engine.
"""

from .case import Exercise, ServerCase
from .cases import CASES
from .server import MisbehavingServer, misbehave
from .stage import Call, Gone, Stage
from .verdict import Check, Verdict

__all__ = [
    "CASES",
    "Call",
    "Check",
    "Exercise",
    "Gone",
    "MisbehavingServer",
    "ServerCase",
    "Stage",
    "Verdict",
    "misbehave",
]
