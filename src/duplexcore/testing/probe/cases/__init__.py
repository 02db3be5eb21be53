"""The cases, a file for each group of rules; a script is read from the top: what is sent, and what came of it.

`CASES` holds them by id, in the order in which they are run.
"""

import importlib

from .table import CASES

__all__ = ["CASES"]

# In this order. Each enters its cases when it is imported.
_FILES = (
    "headers",
    "malformed",
    "hpack",
    "framing",
    "metadata",
    "calls",
    "flow",
    "deadlines",
    "compression",
    "setup",
    "frames",
    "streams",
    "liveness",
    "floods",
)

for _name in _FILES:
    importlib.import_module(f"{__name__}.{_name}")
