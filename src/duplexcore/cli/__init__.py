"""The `duplexcore` command (extra ``cli``)."""

import sys

__all__ = ["main"]

#: What the extra brings; without them there is no command.
_NEEDED = {"anyio", "click", "duplexcore_anyio", "google", "rich"}


def main() -> None:
    """Runs the command; without its extra, says which one to install."""
    try:
        from .app import command

        command()
    except ImportError as error:
        name = (error.name or "").partition(".")[0]
        if name not in _NEEDED:
            raise
        sys.exit(f"duplexcore: the command needs {name}, which is not here: pip install 'duplexcore[cli]'")
