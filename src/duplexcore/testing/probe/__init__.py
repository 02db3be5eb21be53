"""Odd and hostile bytes for any gRPC server, and a judgement of what it answers: after h2spec, for gRPC.

    report = await probe(Target("127.0.0.1", 50051))
    assert report.ok, report.failures

Frames by hand on byte streams, nothing of the engine; asyncio and trio. What is allowed is what RFC 9113 and the gRPC
documents allow, not what duplexcore does.
"""

from .answers import Answer as Answer
from .answers import Came as Came
from .cases import CASES as CASES
from .model import Case as Case
from .model import Level as Level
from .model import Need as Need
from .model import NoServerError as NoServerError
from .model import Report as Report
from .model import Result as Result
from .model import Target as Target
from .model import Verdict as Verdict
from .reports import in_words as in_words
from .reports import to_json as to_json
from .reports import to_junit as to_junit
from .reports import to_markdown as to_markdown
from .run import choose as choose
from .run import probe as probe
from .run import run_case as run_case
