"""Run by test_wheel.py in an environment that holds nothing but the wheel and h2: two engines talk in memory."""

import duplexcore


def exchange(client: duplexcore.ClientConnection, server: duplexcore.ServerConnection) -> list[object]:
    """Carry bytes until neither side has any; the events of both."""
    events: list[object] = []
    moved = True
    while moved:
        moved = False
        for source, target in ((client, server), (server, client)):
            if data := source.data_to_send(now=0.0):
                target.receive_data(data, now=0.0)
                moved = True
        for connection in (client, server):
            while (event := connection.next_event()) is not None:
                events.append(event)
    return events


def main() -> None:
    client = duplexcore.ClientConnection(now=0.0)
    server = duplexcore.ServerConnection(now=0.0)
    exchange(client, server)

    asked = client.start_call("/smoke.Test/Talk")
    asked.send_message(b"question")
    asked.half_close()
    started = [event for event in exchange(client, server) if isinstance(event, duplexcore.CallStarted)]
    assert len(started) == 1, started
    answered = started[0].call
    assert answered.method == "/smoke.Test/Talk"
    assert answered.take_message() == b"question"

    answered.send_message(b"answer")
    answered.finish()
    exchange(client, server)
    assert asked.take_message() == b"answer"
    assert asked.ended is not None
    assert asked.ended.status.code is duplexcore.StatusCode.OK, asked.ended
    print("two engines talked")


if __name__ == "__main__":
    main()
