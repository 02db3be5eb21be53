"""A report as JSON, as JUnit's XML, and as Markdown."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree as ET

from .model import Level, Report, Result, Verdict


def to_json(report: Report) -> str:
    """One object: target, method, ok, counts, and a list of cases with what was allowed and what came."""
    return json.dumps(
        {
            "target": str(report.target),
            "method": report.target.method,
            "ok": report.ok,
            "counts": {verdict.value: report.count(verdict) for verdict in Verdict},
            "cases": [_plain(one) for one in report.results],
        },
        indent=2,
        ensure_ascii=False,
    )


def _plain(one: Result) -> dict[str, Any]:
    return {
        "id": one.case.id,
        "title": one.case.title,
        "source": one.case.by,
        "level": one.case.level.value,
        "allowed": [answer.words for answer in one.case.allowed],
        "tolerated": [answer.words for answer in one.case.tolerated],
        "verdict": one.verdict.value,
        "came": one.came,
        "remark": one.remark,
        "frames": list(one.frames),
        "still_answers": one.answers,
        "seconds": round(one.seconds, 3),
    }


def to_junit(report: Report) -> str:
    """A suite for each group. What fails without breaking a rule that binds is no failure, but stands in the output."""
    root = ET.Element("testsuites", name=f"duplexcore probe {report.target}")
    for group in report.groups:
        results = [one for one in report.results if one.case.group == group]
        counts = {
            "tests": len(results),
            "failures": sum(_binds(one) for one in results),
            "skipped": report.count(Verdict.SKIP, group),
        }
        suite = ET.SubElement(
            root, "testsuite", {"name": group, **{name: str(count) for name, count in counts.items()}}
        )
        for one in results:
            _junit_case(suite, one)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _junit_case(suite: ET.Element, one: Result) -> None:
    case = ET.SubElement(suite, "testcase", classname=one.case.group, name=one.case.id, time=f"{one.seconds:.3f}")
    if one.verdict is Verdict.SKIP:
        ET.SubElement(case, "skipped", message=one.remark)
    elif _binds(one):
        ET.SubElement(case, "failure", message=_clean(one.came)).text = _clean(in_words(one))
    elif one.verdict is not Verdict.PASS:
        ET.SubElement(case, "system-out").text = _clean(in_words(one))


def to_markdown(report: Report) -> str:
    """A table of the groups, and one of all that is not a plain pass."""
    lines = [
        f"# Probe of {report.target}",
        "",
        "| group | pass | note | fail | skip |",
        "| --- | --- | --- | --- | --- |",
    ]
    for group in [*report.groups, None]:
        counts = " | ".join(str(report.count(verdict, group)) for verdict in Verdict)
        lines.append(f"| {group or 'all'} | {counts} |")
    lines += [
        "",
        "| case | what was sent | level | verdict | allowed | came |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in report.results:
        if one.verdict in {Verdict.NOTE, Verdict.FAIL}:
            case = one.case
            came = f"{one.came}; {one.remark}" if one.remark else one.came
            cells = (case.id, case.title, case.level.value, one.verdict.value, case.expected, came)
            lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def in_words(one: Result) -> str:
    """A result in a few lines."""
    lines = [
        f"{one.case.id}: {one.case.title}",
        f"rule:    {one.case.by} ({one.case.level.value})",
        f"allowed: {one.case.expected}",
        f"came:    {one.came}",
    ]
    if one.remark:
        lines.append(f"remark:  {one.remark}")
    if one.frames:
        lines.append(f"frames:  {', '.join(one.frames)}")
    return "\n".join(lines)


def _binds(one: Result) -> bool:
    return one.verdict is Verdict.FAIL and one.case.level is Level.MUST


def _clean(text: str) -> str:
    """XML has no control characters."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "·" for letter in text)
