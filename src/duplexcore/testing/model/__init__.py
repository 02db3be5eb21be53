"""The reference model of one gRPC call: what must happen, by the rules alone.

Written from docs/requirements.md and docs/scenarios.md, never from the engine, which it must not import: where the two
differ, one of them is wrong. Its parts:

* `CallModel` (`call`): both sides and the wires between them, for a simulator that knows every step; `does`, `frames`,
  `hears` and `took` work on one `Side`, for those that keep no wires. `ledger` counts messages in bytes.
* `PossibleStates` (`possible`): for a peer whose inside is unknown.
* `explorer`: everything that can happen; `race_table`: how calls may end, which it found and people have reviewed.

Not in the model: answers that are not gRPC (ERR-1, ERR-2), 1xx headers, rejected request headers, windows, the text of
statuses and all metadata. A call's messages are counted, not kept.
"""

from .call import CallModel, does, frames, hears
from .ledger import DataReader, MessageLedger
from .possible import Impossible, PossibleStates
from .race_table import RACE_TABLE, allowed
from .side import Side, history, next_event, owes, took
from .vocabulary import (
    CLIENT,
    SERVER,
    Abort,
    Cancel,
    Data,
    DeadlineFired,
    Event,
    Fault,
    Finish,
    Frame,
    Goaway,
    HalfClose,
    Headers,
    Input,
    Misuse,
    ModelViolation,
    Origin,
    Refuse,
    Reset,
    Role,
    SendInitialMetadata,
    SendMessage,
    Start,
    Step,
    Terminal,
    Trailers,
    TransportEnded,
    Unfit,
)

__all__ = [
    "CLIENT",
    "RACE_TABLE",
    "SERVER",
    "Abort",
    "CallModel",
    "Cancel",
    "Data",
    "DataReader",
    "DeadlineFired",
    "Event",
    "Fault",
    "Finish",
    "Frame",
    "Goaway",
    "HalfClose",
    "Headers",
    "Impossible",
    "Input",
    "MessageLedger",
    "Misuse",
    "ModelViolation",
    "Origin",
    "PossibleStates",
    "Refuse",
    "Reset",
    "Role",
    "SendInitialMetadata",
    "SendMessage",
    "Side",
    "Start",
    "Step",
    "Terminal",
    "Trailers",
    "TransportEnded",
    "Unfit",
    "allowed",
    "does",
    "frames",
    "hears",
    "history",
    "next_event",
    "owes",
    "took",
]
