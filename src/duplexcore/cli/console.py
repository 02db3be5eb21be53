"""The console that the commands print to."""

from __future__ import annotations

import errno
import os

import rich.console

__all__ = ["Console"]


class Console(rich.console.Console):
    """rich's, for event loops: when nobody reads any more (``| head``) it raises an error like others, where rich would
    end the process from inside a task. At the top click makes a silent exit of it."""

    def on_broken_pipe(self) -> None:
        """Raises BrokenPipeError."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
