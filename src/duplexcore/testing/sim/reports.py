"""What a hunt leaves behind: the files of each case, and reports for people and for machines."""

from __future__ import annotations

import html
import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

from .cases import Case, Run
from .page import page
from .pictures import mermaid
from .properties import Property
from .targets import EngineOptions

__all__ = [
    "Found",
    "Kept",
    "Report",
    "keep",
    "one_test",
    "pytest_file",
    "sentences",
    "to_html",
    "to_junit",
    "to_ndjson",
]


@dataclass(frozen=True, slots=True)
class Kept:
    """Where the files of a case are; of a server somewhere there is only the first."""

    case: Path
    page: Path | None = None
    mermaid: Path | None = None
    test: Path | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A case, its minimal run as text, and the command that runs it again.

    ``kept``: None when nothing was written. ``known``: why it is no news, if it is none.
    """

    case: Case
    picture: str
    again: str
    kept: Kept | None = None
    known: str | None = None


@dataclass(slots=True)
class Report:
    """What was run, and what came of it.

    ``checks``: number of each property or check -> its sentence. ``passed``: what there is to say of known failures
    that were not found. ``remarks``: what else there is to say, a line each.
    """

    target: str
    checks: dict[str, str]
    found: list[Found] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    runs: int = 0
    calls: int = 0
    seconds: float = 0.0

    @property
    def known(self) -> list[Found]:
        """The findings that are no news."""
        return [one for one in self.found if one.known is not None]

    @property
    def by_number(self) -> dict[str, Found]:
        """A finding for each number, news if there is some."""
        return {one.case.number: one for one in sorted(self.found, key=lambda one: one.known is None)}


def sentences(properties: Sequence[type[Property]]) -> dict[str, str]:
    """The properties as `Report.checks` has them."""
    return {one.number: " ".join((inspect.getdoc(one) or "").split()) for one in properties}


# --- the files of a case ----------------------------------------------------------------------------------------------


def keep(case: Case, run: Run, folder: Path, test_file: Callable[[Case], str] | None = None) -> Kept:
    """Writes the case, its page, its diagram and its test beside each other. Raises OSError.

    ``test_file`` gives the text of the test: `pytest_file` where none is said.
    """
    path = case.write(folder)
    drawn, diagram = path.with_suffix(".html"), path.with_suffix(".mmd")
    test = folder / f"test_{_identifier(case.name)}.py"
    sequence = mermaid(run.recording.entries, race=case.race, fault=case.message, handshake=False)
    drawn.write_text(page(case, run), encoding="utf-8")
    diagram.write_text(sequence, encoding="utf-8")
    test.write_text((test_file or pytest_file)(case), encoding="utf-8")
    return Kept(path, drawn, diagram, test)


def pytest_file(case: Case) -> str:
    """A test that runs the tape and fails as long as anything does: needs nothing but duplexcore and the target."""
    usual = EngineOptions().as_dict()
    options = "".join(f", {name}={value!r}" for name, value in case.options.items() if usual.get(name) != value)
    runs = f"check({json.dumps(case.target)}, tape{options})"
    return one_test(case, "from duplexcore.testing.sim.cases import check", runs)


def one_test(case: Case, imports: str, runs: str) -> str:
    """A test of one line that ``runs`` a ``tape``."""
    reason = case.message.replace("\\", "\\\\").replace('"""', "'''")
    return (
        f'"""{reason}\n\nFound by `duplexcore fuzz`: the tape is the smallest that showed it.\n"""\n\n'
        f"{imports}\n\n\n"
        f"def test_{_identifier(case.name)}() -> None:\n"
        f"    tape = {case.tape!r}\n"
        f"    {runs}\n"
    )


def _identifier(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name).lower()


# --- reports ----------------------------------------------------------------------------------------------------------


def to_ndjson(report: Report) -> str:
    """A line for each finding, with ``"event": "finding"``, and a last one for the whole, with "finished"."""
    lines: list[dict[str, object]] = [
        {
            "event": "finding",
            "target": report.target,
            "number": one.case.number,
            "message": one.case.message,
            "case": one.case.name,
            "seed": one.case.seed,
            "tape": one.case.tape,
            "file": None if one.kept is None else str(one.kept.case),
            "replay": one.again,
            "known": one.known,
            "race": None if one.case.race is None else one.case.race.told,
        }
        for one in report.found
    ]
    lines.append(
        {
            "event": "finished",
            "target": report.target,
            "runs": report.runs,
            "calls": report.calls,
            "seconds": round(report.seconds, 3),
            "checks": list(report.checks),
            "findings": len(report.found),
            "known": len(report.known),
            "known that pass": report.passed,
            "remarks": report.remarks,
        }
    )
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def to_junit(report: Report) -> str:
    """One suite with a test for each property; a finding under another number has a test of its own."""
    failures = report.by_number
    known = [one for one in failures.values() if one.known is not None]
    names = [*report.checks, *(number for number in failures if number not in report.checks)]
    suite = ET.Element(
        "testsuite",
        name=f"duplexcore fuzz {report.target}",
        tests=str(len(names) + len(report.passed)),
        failures=str(len(failures) - len(known) + len(report.passed)),
        skipped=str(len(known)),
        time=f"{report.seconds:.3f}",
    )
    for name in names:
        label = f"{name}: {report.checks[name]}" if report.checks.get(name) else name
        test = ET.SubElement(suite, "testcase", classname=report.target, name=label)
        if (one := failures.get(name)) is None:
            continue
        if one.known is not None:
            ET.SubElement(test, "skipped", message=_clean(f"known: {one.known}"))
        else:
            failure = ET.SubElement(test, "failure", message=_clean(one.case.message))
            failure.text = _clean(f"{one.case.message}\n\n{one.picture}\n{one.again}\n")
    for line in report.passed:
        test = ET.SubElement(suite, "testcase", classname=report.target, name=f"known: {line.partition(' ')[0]}")
        ET.SubElement(test, "failure", message=_clean(line))
    if report.remarks:
        ET.SubElement(suite, "system-out").text = _clean("\n".join(report.remarks))
    return ET.tostring(suite, encoding="unicode", xml_declaration=True)


def to_html(report: Report) -> str:
    """One page that stands alone: what was checked, and each finding as text; its own page is named, not included."""
    title = html.escape(f"duplexcore fuzz {report.target}")
    failures = report.by_number
    rows = "".join(
        f"<tr><td>{html.escape(number)}</td><td>{html.escape(sentence)}</td>"
        f"<td>{_verdict(failures.get(number))}</td></tr>"
        for number, sentence in report.checks.items()
    )
    findings = "".join(
        f"<h2>{html.escape(one.case.message)}</h2>"
        + (f"<p>{html.escape(one.case.race.told)}</p>" if one.case.race else "")
        + f"<pre>{html.escape(one.picture)}</pre><pre>{html.escape(one.again)}</pre>"
        + (f"<p>drawn in {html.escape(str(one.kept.page))}</p>" if one.kept and one.kept.page else "")
        for one in report.found
    )
    findings += "".join(f"<p>{html.escape(line)}</p>" for line in (*report.passed, *report.remarks))
    said = f"{report.runs:,} runs, {report.calls:,} calls, {report.seconds:.1f} s, {len(report.found)} findings"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,"><title>{title}</title>'
        "<style>body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em}"
        "pre{overflow:auto;padding:1em;border:1px solid #8888;border-radius:6px;font-size:12px}"
        "td{padding:2px 12px 2px 0;vertical-align:top}</style>"
        f"<h1>{title}</h1><p>{said}</p>{findings}<h2>Checked</h2><table>{rows}</table></html>\n"
    )


def _verdict(found: Found | None) -> str:
    if found is None:
        return "held"
    return "does not hold" if found.known is None else f"known: {html.escape(found.known)}"


def _clean(words: str) -> str:
    """Without what XML 1.0 can not hold."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "·" for letter in words)
