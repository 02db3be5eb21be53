"""What opening one more call costs when 10, 1,000 or 10,000 are open: µs on either side, without I/O.

    python benchmarks/open_calls.py

The numbers should be flat. `tests/http2/test_h2_contained.py` counts the same work, so that no clock has to judge it.
"""

from __future__ import annotations

from time import perf_counter

from duplexcore import ClientConfig, ClientConnection, ServerConfig, ServerConnection

OPEN = (10, 1_000, 10_000)
SAMPLE = 200
HARD = 20_000


def main() -> None:
    client = ClientConnection(ClientConfig(max_waiting_calls=HARD), now=0.0)
    server = ServerConnection(ServerConfig(max_concurrent_calls=HARD), now=0.0)
    exchange(client, server)
    print(f"{'calls open':>10}  {'client opens, µs':>17}  {'server accepts, µs':>19}")
    for wanted in OPEN:
        while client.open_calls < wanted:
            open_one(client, server)
        opening = accepting = 0.0
        for _ in range(SAMPLE):
            sent, accepted = open_one(client, server)
            opening += sent
            accepting += accepted
        print(f"{wanted:>10,}  {opening / SAMPLE * 1e6:>17.1f}  {accepting / SAMPLE * 1e6:>19.1f}")


def open_one(client: ClientConnection, server: ServerConnection) -> tuple[float, float]:
    """Seconds of the client, and of the server."""
    begun = perf_counter()
    client.start_call("/bench.Open/Call")
    out = client.data_to_send(0.0)
    sent = perf_counter()
    server.receive_data(out, 0.0)
    assert server.next_event() is not None
    return sent - begun, perf_counter() - sent


def exchange(client: ClientConnection, server: ServerConnection) -> None:
    for _ in range(2):
        server.receive_data(client.data_to_send(0.0), 0.0)
        client.receive_data(server.data_to_send(0.0), 0.0)
    for connection in (client, server):
        while connection.next_event() is not None:
            pass


if __name__ == "__main__":
    main()
