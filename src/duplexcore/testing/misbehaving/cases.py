"""All cases, by name."""

from __future__ import annotations

from . import frames, goaways, headers, messages, official, settings, statuses, trailers
from .case import ServerCase

#: The files of the cases, in the order in which they are listed.
GROUPS: dict[str, tuple[ServerCase, ...]] = {
    "official": official.CASES,
    "headers": headers.CASES,
    "statuses": statuses.CASES,
    "trailers": trailers.CASES,
    "messages": messages.CASES,
    "frames": frames.CASES,
    "settings": settings.CASES,
    "goaways": goaways.CASES,
}
#: Every case by its name, in that order.
CASES: dict[str, ServerCase] = {case.name: case for group in GROUPS.values() for case in group}
