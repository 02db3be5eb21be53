"""What a case of the suite is, what it is given, and how it says that something is wrong."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from duplexcore import ClientConfig, Metadata
from duplexcore_anyio import Connecting, Observer, connect

from .stub import Stub

__all__ = ["Case", "CaseFailed", "CaseOptions", "CaseRun", "CaseSkipped", "Target"]


class CaseFailed(Exception):
    """The server under test did something else than it should: ``what`` was looked at, what was ``expected`` of it, by
    which ``rule`` of docs/requirements.md, and what ``came``."""

    def __init__(self, what: str, *, expected: object, came: object, rule: str = "") -> None:
        self.what, self.expected, self.came, self.rule = what, str(expected), str(came), rule
        super().__init__(f"{what}: expected {expected}{f' ({rule})' if rule else ''}, but {came} came")


class CaseSkipped(Exception):
    """The case can not be run; the text says why. Never a pass."""


@dataclass(frozen=True, slots=True)
class Target:
    """The server under test."""

    address: str  # as `connect` takes it
    tls: ssl.SSLContext | None = None
    #: The name that it is called by, in TLS and as ``:authority``, instead of the address.
    host_override: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseOptions:
    """What the flags of the client say to the cases. Times are seconds, sizes bytes."""

    additional_metadata: Metadata = field(default_factory=Metadata)
    #: Of channels for which a case names none.
    config: ClientConfig = field(default_factory=ClientConfig)
    #: A case that takes longer has failed.
    case_timeout: float = 60.0
    soak_iterations: int = 10
    soak_max_failures: int = 0
    soak_per_iteration_max_acceptable_latency: float = 1.0
    soak_overall_timeout: float = 10.0
    soak_min_time_between_rpcs: float = 0.0
    soak_request_size: int = 271_828
    soak_response_size: int = 314_159
    #: concurrent_large_unary and long_lived_channel.
    concurrent_calls: int = 1_000
    channel_life: float = 5.0


class CaseRun:
    """One run of one case against one server."""

    def __init__(
        self, target: Target, options: CaseOptions | None = None, say: Callable[[str], None] | None = None
    ) -> None:
        self.target = target
        self.options = options or CaseOptions()
        #: Progress, a line at a time, for people.
        self.say: Callable[[str], None] = say or (lambda _: None)
        #: What the case is doing: stands in the report when a call fails that should not, or nothing comes.
        self.doing = "connecting"

    def connect(self, *, config: ClientConfig | None = None, observer: Observer | None = None) -> Connecting:
        """A new channel to the server under test. Its calls have only the deadlines that they name: the time that the
        case has does not travel."""
        return connect(
            self.target.address,
            tls=self.target.tls,
            server_hostname=self.target.host_override if self.target.tls else None,
            authority=self.target.host_override,
            config=config or self.options.config,
            inherit_deadline=False,
            observer=observer,
        )

    @asynccontextmanager
    async def service(
        self, *, config: ClientConfig | None = None, observer: Observer | None = None
    ) -> AsyncGenerator[Stub, None]:
        """The service on a new channel."""
        async with self.connect(config=config, observer=observer) as channel:
            yield Stub(channel, self.options.additional_metadata)


def _case_timeout(options: CaseOptions) -> float:
    return options.case_timeout


@dataclass(frozen=True, slots=True)
class Case:
    """One case: what it is called, what it shows, by which rules, and how it is run."""

    name: str  # the official one
    summary: str  # what it shows, in a line
    rules: tuple[str, ...]  # ids of docs/requirements.md
    run: Callable[[CaseRun], Awaitable[None]]  # raises CaseFailed and CaseSkipped
    #: How long it may take: seconds.
    limit: Callable[[CaseOptions], float] = _case_timeout
