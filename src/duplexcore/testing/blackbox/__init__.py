"""Legal calls, in drawn order and number, for a gRPC server of which little is known: and what must hold.

One run is one connection: `converse` draws scripts and their order from a chooser, plays them with raw frames, and
raises `CheckError` at the first thing that no server which keeps the rules could do. Nothing that is sent breaks a
rule, so no server has a reason to end the connection. Time is real here, and what the server's tasks do in it is not
chosen: the same choices may go well the next time. `CONFORMANCE` are the runs in which nothing is left to choice. A
`Meter` looks at the process of a server on this machine.
"""

from .checks import CHECKS, Callee, CheckError, Limits, Log, Server
from .conformance import CONFORMANCE, Scenario, conform
from .conversation import converse, survey
from .growth import GROWTH, Held, Meter, ProcessError, held

__all__ = [
    "CHECKS",
    "CONFORMANCE",
    "GROWTH",
    "Callee",
    "CheckError",
    "Held",
    "Limits",
    "Log",
    "Meter",
    "ProcessError",
    "Scenario",
    "Server",
    "conform",
    "converse",
    "held",
    "survey",
]
