"""Records which requirement and scenario ids (``@pytest.mark.req("FRM-4", "D-13")``) had a passing or failing test.

Each run updates .requirements/results.json: a run of the whole suite replaces the file, a run of some tests replaces
what it says about these. `make requirements` prints it. An id that no document defines is an error at collection.
"""

import json
from collections.abc import Generator

import pytest

from scripts.requirements import RESULTS, ROOT, all_ids

_PROPERTY = "duplexcore-req"


def _proved(item: pytest.Item) -> list[str]:
    """The ids of an item: those of its own markers, its class's and its module's."""
    ids: dict[str, None] = {}
    for marker in item.iter_markers("req"):
        if not marker.args or marker.kwargs or not all(isinstance(id_, str) for id_ in marker.args):
            raise pytest.Collector.CollectError(
                f'{item.nodeid}: @pytest.mark.req takes ids as text, as in req("FRM-4", "D-13")'
            )
        ids.update(dict.fromkeys(marker.args))
    return list(ids)


class Recorder:
    """Collects the outcome of each test that carries an id; in the process that prints the report."""

    def __init__(self) -> None:
        self.tests: dict[str, dict[str, object]] = {}
        self.seen: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        ids = [value for name, value in report.user_properties if name == _PROPERTY]
        self.seen.add(report.nodeid)
        if not ids:
            return
        test = self.tests.setdefault(report.nodeid, {"ids": ids, "outcome": "unfinished"})
        if report.failed:
            test["outcome"] = "failed"
        elif report.skipped:
            test["outcome"] = "skipped"
        elif report.when == "call":
            test["outcome"] = "passed"

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.config.option.collectonly:
            return
        RESULTS.parent.mkdir(exist_ok=True)
        earlier: dict[str, dict[str, object]] = {}
        if not _whole_suite(session.config) and RESULTS.exists():
            earlier = json.loads(RESULTS.read_text(encoding="utf-8"))["tests"]
            earlier = {
                node: test
                for node, test in earlier.items()
                if node not in self.seen and (ROOT / node.partition("::")[0]).exists()
            }
        text = json.dumps({"tests": dict(sorted((earlier | self.tests).items()))}, indent=1)
        RESULTS.write_text(text + "\n", encoding="utf-8")


def _whole_suite(config: pytest.Config) -> bool:
    chosen = config.option.keyword or getattr(config.option, "lf", False) or config.option.maxfail
    return (
        config.args_source is not pytest.Config.ArgsSource.ARGS
        and not chosen
        and config.option.markexpr in ("", "not gate")
    )


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(), "duplexcore-requirements")


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem() -> Generator[None, object, object]:
    """Look at each test as its module or class is collected, so that a wrong id is an error of that module."""
    made = yield
    known = set(all_ids())
    for item in made if isinstance(made, list) else [made]:
        if not isinstance(item, pytest.Item):
            continue
        for id_ in _proved(item):
            if id_ not in known:
                raise pytest.Collector.CollectError(
                    f"{item.nodeid} names {id_}, which neither docs/requirements.md nor docs/scenarios.md defines"
                )
            item.user_properties.append((_PROPERTY, id_))
    return made
