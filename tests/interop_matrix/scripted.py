"""A peer made for a test: a short program that prints what it is told to."""

from __future__ import annotations

import sys

from duplexcore.interop.peers.environments import ThisPython
from duplexcore.interop.peers.table import Peer

LISTENS = "print('listening on 127.0.0.1:1', flush=True); import time; time.sleep(600)"


def scripted(name: str, *, server: str = LISTENS, client: str = "", one_case_each: bool = False) -> Peer:
    """``server`` and ``client`` are Python. In the client ``cases`` is the list that it was asked for."""
    ask = "import sys; cases = sys.argv[-1].partition('=')[2].split(',');"
    return Peer(
        name=name,
        language="Python",
        environment=ThisPython(name, ()),
        server=(sys.executable, "-c", server),
        client=(sys.executable, "-c", f"{ask}\n{client}"),
        one_case_each=one_case_each,
    )
