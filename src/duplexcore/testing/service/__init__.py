"""Services of one's own in the simulator: async handlers behind the real server, in every order, on virtual time.

Subclass `ServiceMachine`; `docs/testing-services.md` shows how. Needs the extra ``anyio``.
"""

from .callers import Caller as Caller
from .callers import Calls as Calls
from .callers import Script as Script
from .machine import ServiceFailure as ServiceFailure
from .machine import ServiceMachine as ServiceMachine
from .machine import always as always
from .machine import at_rest as at_rest
from .machine import sometimes as sometimes

__all__ = ["Caller", "Calls", "Script", "ServiceFailure", "ServiceMachine", "always", "at_rest", "sometimes"]
