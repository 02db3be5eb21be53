"""Strategies for Hypothesis: what gRPC calls are made of, with the edges at which things break. Extra ``testing``.

Each shrinks to the dullest that there is: an empty message, no metadata, status OK.
"""

from .calls import HypothesisChooser as HypothesisChooser
from .calls import call_scripts as call_scripts
from .calls import schedules as schedules
from .cases import CASES as CASES
from .protobuf import from_descriptor as from_descriptor
from .protobuf import messages_of as messages_of
from .values import chunkings as chunkings
from .values import messages as messages
from .values import metadata as metadata
from .values import statuses as statuses
from .values import timeouts as timeouts
from .wire import Violation as Violation
from .wire import peer_violations as peer_violations
from .wire import settings_frames as settings_frames

__all__ = [
    "CASES",
    "HypothesisChooser",
    "Violation",
    "call_scripts",
    "chunkings",
    "from_descriptor",
    "messages",
    "messages_of",
    "metadata",
    "peer_violations",
    "schedules",
    "settings_frames",
    "statuses",
    "timeouts",
]
