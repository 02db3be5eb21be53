"""State machines for Hypothesis, to run as they are or to subclass: a call, a connection, a hostile peer.

``TestX = X.TestCase`` makes a test of one. They need the extra ``testing``. For a service of one's own there is
`duplexcore.testing.service`.
"""

from .call import CallMachine as CallMachine
from .connection import ConnectionMachine as ConnectionMachine
from .hostile import HostilePeerMachine as HostilePeerMachine
from .hostile import HostileServerMachine as HostileServerMachine

__all__ = ["CallMachine", "ConnectionMachine", "HostilePeerMachine", "HostileServerMachine"]
