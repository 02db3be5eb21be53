"""Odd and hostile bytes for any gRPC server, and a judgement of what it answers: after h2spec, for gRPC.

    report = await probe(Target("127.0.0.1", 50051))
    assert report.ok, report.failures

Frames by hand on byte streams, nothing of the engine; asyncio and trio. What is allowed is what RFC 9113 and the gRPC
documents allow, not what duplexcore does.
"""

from .answers import Answer, Came
from .cases import CASES
from .model import Case, Level, Need, NoServerError, Report, Result, Target, Verdict
from .reports import in_words, to_json, to_junit, to_markdown
from .run import choose, probe, run_case

__all__ = [
    "CASES",
    "Answer",
    "Came",
    "Case",
    "Level",
    "Need",
    "NoServerError",
    "Report",
    "Result",
    "Target",
    "Verdict",
    "choose",
    "in_words",
    "probe",
    "run_case",
    "to_json",
    "to_junit",
    "to_markdown",
]
