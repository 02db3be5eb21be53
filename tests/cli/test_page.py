"""The page of `duplexcore demo --html` in a real browser, without a network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from duplexcore.cli.app import command

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
REQUIRED = os.environ.get("DUPLEXCORE_REQUIRE_BROWSER", "") not in ("", "0")
browser = pytest.mark.skipif(BROWSER is None and not REQUIRED, reason="no Chromium here")

#: Elements and attributes that would make a browser fetch something.
FETCHING = {"src", "srcset", "href", "action", "poster", "data", "background", "xlink:href"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "call.html"
    result = CliRunner().invoke(command, ["demo", "--pace", "0", "--html", str(path)])
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture(scope="module")
def trace(page: Path) -> dict:
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="trace">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


class Elements(HTMLParser):
    """Every start tag with its attributes, and the texts by the id of the element around them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def rendered(page: Path, profile: Path, *, fragment: str = "") -> tuple[str, str]:
    """The page's DOM after its scripts have run, and what the browser wrote to its log."""
    assert BROWSER is not None, "DUPLEXCORE_REQUIRE_BROWSER is set, and no Chromium is here"
    run = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            # Whatever the page asks for by name is not found.
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--enable-logging=stderr",
            "--v=0",
            f"--user-data-dir={profile}",
            "--dump-dom",
            f"{page.as_uri()}{fragment}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout, run.stderr


def test_it_asks_for_nothing(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for tag, attributes in Elements(text).tags:
        fetched = {name: value for name, value in attributes.items() if name in FETCHING}
        assert set(fetched.values()) <= {"data:,"}, (tag, fetched)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|import\(|WebSocket", text)
    assert "http://www.w3.org/2000/svg" in re.findall(r"https?://[^\s\"'<)]+", text)
    assert set(re.findall(r"https?://[^\s\"'<)]+", text)) == {"http://www.w3.org/2000/svg"}


def test_its_data_is_the_whole_conversation(trace: dict) -> None:
    labels = [arrow["label"] for arrow in trace["arrows"] if arrow["kind"] not in ("application", "connection")]
    assert labels == [
        "method + metadata",
        "response 1",
        "request 1",
        "response 2",
        "response 3",
        "response 4 + status + trailing metadata",
    ]
    for frame in trace["frames"].values():
        assert len(bytes.fromhex(frame["hex"])) == frame["size"]
    assert len(trace["outcome"]) == 9


@browser
def test_a_browser_draws_every_arrow(page: Path, trace: dict, tmp_path: Path) -> None:
    dom, log = rendered(page, tmp_path)
    tags = Elements(dom).tags
    arrows = [
        attributes for tag, attributes in tags if tag == "g" and "arrow" in (attributes.get("class") or "").split()
    ]
    assert [int(arrow["data-number"] or 0) for arrow in arrows] == [arrow["number"] for arrow in trace["arrows"]]
    assert [arrow["aria-label"] for arrow in arrows if "end" in (arrow["class"] or "")] != []
    assert ("html", {"lang": "en", "data-drawn": str(len(arrows))}) in tags
    assert "What was held" in dom
    assert all(line in dom for line in trace["outcome"])
    assert "CONSOLE" not in log, log


@browser
def test_an_arrow_shows_its_frames(page: Path, trace: dict, tmp_path: Path) -> None:
    last = next(arrow for arrow in trace["arrows"] if arrow["kind"] == "end")
    dom, log = rendered(page, tmp_path, fragment=f"#arrow-{last['number']}")
    assert dom.count('<div class="frame">') == len(last["frames"]) == 2
    assert "grpc-status: 0" in dom
    assert "END_STREAM" in dom
    first = trace["frames"][str(last["frames"][0])]["hex"]
    assert " ".join(re.findall("..", first[:16])) in dom
    assert "CONSOLE" not in log, log


@browser
def test_the_log_would_have_told(page: Path, tmp_path: Path) -> None:
    """That "CONSOLE" is missing from the log means something."""
    broken = tmp_path / "broken.html"
    broken.write_text(page.read_text(encoding="utf-8").replace("lay();", "lay(); missing();"), encoding="utf-8")
    _, log = rendered(broken, tmp_path / "profile")
    assert "CONSOLE" in log
