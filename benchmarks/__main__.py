"""``python -m benchmarks``."""

from .alone import command

command(prog_name="python -m benchmarks")
