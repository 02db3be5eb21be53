"""The runner judges programs that misbehave: each is a real process, and none stops the run."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from duplexcore.interop.matrix import Cell, Limits, Matrix
from duplexcore.interop.peers.table import Peer

from .scripted import scripted

CASES = ("empty_unary", "large_unary", "ping_pong")


def run(*clients: Peer, server: Peer, cases: tuple[str, ...] = CASES, limits: Limits | None = None) -> list[Cell]:
    matrix = Matrix(
        clients=clients, servers=[server], folder=Path(), cases=cases, tls=[False], limits=limits or Limits()
    )
    assert matrix.size == len(clients) * len(cases)
    cells = anyio.run(matrix.run)
    assert len(cells) == matrix.size
    return cells


def verdicts(cells: list[Cell]) -> dict[str, tuple[str, str]]:
    return {cell.case: (cell.verdict, cell.note) for cell in cells}


def test_verdicts_and_what_stands_below_them_are_read() -> None:
    client = scripted(
        "teller",
        client="""
print('about to begin')
print('empty_unary      passed       1 ms')
print('large_unary      failed       2 ms')
print('    what      the body')
print('    expected  one')
print('ping_pong        skipped      0 ms')
print('    no pongs')
print('1 passed, 1 failed, 1 skipped')
""",
    )
    assert verdicts(run(client, server=scripted("server"))) == {
        "empty_unary": ("passed", ""),
        "large_unary": ("failed", "what: the body; expected: one"),
        "ping_pong": ("skipped", "no pongs"),
    }


def test_a_client_that_breaks_off_fails_one_case_and_is_asked_for_the_rest() -> None:
    client = scripted(
        "crasher",
        client="""
for case in cases:
    if case == 'large_unary':
        sys.exit('no more')
    print(case, 'passed', flush=True)
""",
    )
    assert verdicts(run(client, server=scripted("server"))) == {
        "empty_unary": ("passed", ""),
        "large_unary": ("failed", "the client ended with exit code 1: no more"),
        "ping_pong": ("passed", ""),
    }


def test_a_client_that_hangs_fails_one_case_and_is_ended() -> None:
    client = scripted("sleeper", client="print(cases[0], 'passed', flush=True)\nimport time; time.sleep(600)")
    found = verdicts(run(client, server=scripted("server"), limits=Limits(case=1.5)))
    assert found["empty_unary"] == ("passed", "")
    assert found["large_unary"][0] == "failed"
    assert "no end within 1.5 s" in found["large_unary"][1]
    assert found["ping_pong"] == ("passed", "")


def test_the_time_of_a_pair_is_limited() -> None:
    client = scripted("sleeper", client="import time; time.sleep(600)")
    found = verdicts(run(client, server=scripted("server"), limits=Limits(case=60, pair=1)))
    assert set(found.values()) == {("failed", "the 1 s of the pair were over")}


def test_official_programs_are_judged_by_their_exit_code() -> None:
    client = scripted(
        "official", client="sys.exit('it is wrong' if cases == ['large_unary'] else 0)", one_case_each=True
    )
    assert verdicts(run(client, server=scripted("server"))) == {
        "empty_unary": ("passed", ""),
        "large_unary": ("failed", "the client ended with exit code 1: it is wrong"),
        "ping_pong": ("passed", ""),
    }


def test_a_server_that_does_not_come_up_fails_its_pairs_with_its_last_words() -> None:
    ended = run(scripted("client"), server=scripted("broken", server="raise SystemExit('no port')"))
    assert {cell.note for cell in ended} == {"the server ended with exit code 1: no port"}
    silent = run(
        scripted("client"),
        server=scripted("silent", server="import time; time.sleep(600)"),
        limits=Limits(start=1),
    )
    assert {cell.note.partition(":")[0] for cell in silent} == {"the server did not listen within 1 s"}
    assert {cell.verdict for cell in ended + silent} == {"failed"}


def test_a_server_that_goes_away_is_started_again_for_the_next_client() -> None:
    """Each client ends the server by connecting; the second finds another one."""
    server = scripted(
        "mortal",
        server="""
import os, socket
listener = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1:%d' % listener.getsockname()[1], flush=True)
held = listener.accept()
os._exit(0)  # the connection ends with the process, not a while before it
""",
    )
    ask = """
import socket
port = int(next(arg for arg in sys.argv if arg.startswith('--server_port=')).partition('=')[2])
connected = socket.create_connection(('127.0.0.1', port), 10)
connected.recv(1)  # until the server is gone
for case in cases:
    print(case, 'passed')
"""
    cells = run(scripted("first", client=ask), scripted("second", client=ask), server=server)
    assert {(cell.client, cell.verdict) for cell in cells} == {("first", "passed"), ("second", "passed")}


def test_what_a_side_lacks_is_skipped_with_the_reason_and_not_asked_for() -> None:
    base = scripted("client", client="for case in cases: print(case, 'passed')")
    lacking = Peer(
        name="lacking",
        language=base.language,
        environment=base.environment,
        server=scripted("server").server,
        client=base.client,
        server_lacks={"ping_pong": "it has no pongs"},
    )
    assert verdicts(run(base, server=lacking)) == {
        "empty_unary": ("passed", ""),
        "large_unary": ("passed", ""),
        "ping_pong": ("skipped", "it has no pongs"),
    }


@pytest.mark.parametrize("junk", ["\\x00\\xff", "x" * 100_000, "empty_unary passedx", "other_case passed"])
def test_junk_on_the_output_is_no_verdict(junk: str) -> None:
    client = scripted("junk", client=f"sys.stdout.buffer.write(b'''{junk}\\n'''); sys.exit(3)")
    (cell,) = run(client, server=scripted("server"), cases=("empty_unary",))
    assert cell.verdict == "failed"
    assert cell.note.startswith("the client ended with exit code 3")
