"""Running the cases: each on a connection of its own, and after each a good call on another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

import anyio

from .answers import Came, Kind
from .cases import CASES
from .model import Case, Level, Need, NoServerError, Report, Result, Target, Unjudged, Verdict
from .talk import Talk, connect, good_call

#: How many cases run at a time.
TOGETHER = 8


def choose(only: Iterable[str] = (), groups: Iterable[str] = ()) -> list[Case]:
    """The cases whose id fits one of the patterns (``FRM-*``) and whose group is one of those; without any, all."""
    patterns, wanted = list(only), {group.upper() for group in groups}
    return [
        case
        for case in CASES.values()
        if (not patterns or any(fnmatchcase(case.id, pattern) for pattern in patterns))
        and (not wanted or case.group in wanted)
    ]


async def probe(
    target: Target,
    cases: Sequence[Case] | None = None,
    *,
    together: int = TOGETHER,
    progress: Callable[[Result], None] = lambda _: None,
) -> Report:
    """Runs the cases (all: None), ``together`` at a time, floods after them and alone; ``progress`` is called with each
    result as it comes.

    Raises `NoServerError` when a good call is not answered before anything else: then nothing could be judged.
    """
    chosen = list(CASES.values()) if cases is None else list(cases)
    await _check(target)
    results: dict[str, Result] = {}
    limit = anyio.Semaphore(together)

    async def one(case: Case) -> None:
        async with limit:
            results[case.id] = await run_case(case, target)
        progress(results[case.id])

    async with anyio.create_task_group() as tasks:
        for case in chosen:
            if Need.FLOODS not in case.needs:
                tasks.start_soon(one, case)
    for case in chosen:
        if Need.FLOODS in case.needs:
            await one(case)
    return Report(target, tuple(results[case.id] for case in chosen))


async def run_case(case: Case, target: Target, *, afterwards: bool = True) -> Result:
    """One case, and ``afterwards`` a good call on another connection. Raises nothing for what the server does."""
    if unmet := [need.value for need in case.needs if not need.met(target)]:
        return Result(case, Verdict.SKIP, remark=unmet[0])
    started = anyio.current_time()
    try:
        link = await connect(target)
    except OSError as error:
        return Result(case, Verdict.FAIL, str(error), "no new connection is taken", answers=False)
    talk = Talk(link, target)
    try:
        verdict, came, remark = await _judge(case, talk)
    except Unjudged as reason:
        return Result(case, Verdict.SKIP, remark=str(reason))
    finally:
        await link.aclose()
    answers = await good_call(target) is None if afterwards else None
    if answers is False:
        verdict, remark = Verdict.FAIL, "afterwards a good call on a new connection is not answered"
    return Result(case, verdict, str(came), remark, talk.shown, answers, anyio.current_time() - started)


async def _judge(case: Case, talk: Talk) -> tuple[Verdict, Came, str]:
    """The verdict, what came, and why it is not a plain pass."""
    if case.hello:
        await talk.hello()
    came = await case.script(talk) or await talk.outcome()
    verdict, remark = _verdict(case, came, talk.target)
    if verdict is Verdict.FAIL or not case.survives or came.of_connection:
        return verdict, came, remark
    after = await talk.good()
    if talk.is_answered(after) or _settled_by(case, after, talk.target):
        return verdict, came, remark
    return Verdict.FAIL, after, "the same connection does not answer a good call afterwards"


def _verdict(case: Case, came: Came, target: Target) -> tuple[Verdict, str]:
    if any(answer.fits(came, target.normal) for answer in case.allowed):
        return Verdict.PASS, ""
    if any(answer.fits(came, target.normal) for answer in case.tolerated):
        return Verdict.NOTE, "tolerated; the rule asks for another answer"
    return (Verdict.NOTE if case.level is Level.NOTE and came.kind is not Kind.SILENCE else Verdict.FAIL), ""


def _settled_by(case: Case, after: Came, target: Target) -> bool:
    """Whether the connection ended a little later, but for what was sent: a connection error is allowed."""
    return after.kind is Kind.GOAWAY and _verdict(case, after, target)[0] is not Verdict.FAIL


async def _check(target: Target) -> None:
    try:
        link = await connect(target)
    except OSError as error:
        raise NoServerError(f"nobody answers at {target}: {str(error) or type(error).__name__}") from error
    await link.aclose()
    if (came := await good_call(target)) is not None:
        raise NoServerError(
            f"a good call of {target.path} does not end with {'OK' if target.method else 'UNIMPLEMENTED'}, but: {came}"
        )
