"""The engine with a fault planted in it: a status that arrives pushes out the last message that nobody has read yet.

Every test that reads a message before the next one comes passes. Found by: duplexcore fuzz run hasty:Hasty
"""

from unittest import mock

from duplexcore import CallEnded, Origin
from duplexcore.call.base import Call
from duplexcore.testing.sim.choosing import Chooser
from duplexcore.testing.sim.simulation import Simulation
from duplexcore.testing.sim.targets import EngineTarget

end = Call._end


def hastily(call: Call, ended: CallEnded) -> None:
    inbox = call._inbox
    unread = inbox.waiting
    if unread and ended.origin is Origin.PEER and call.ended is None:
        inbox._first = inbox._rest = None
        for item in unread[:-1]:
            inbox._append(item)
    end(call, ended)


class Hasty(EngineTarget):
    def __call__(self, chooser: Chooser) -> Simulation:
        with mock.patch.object(Call, "_end", hastily):
            return EngineTarget.__call__(self, chooser)
