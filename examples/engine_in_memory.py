"""Two engines talk in memory: no socket, no event loop, no thread. The server speaks first and ends the call early."""

from duplexcore import CallStarted, ClientConnection, ServerConnection, Status

client, server = ClientConnection(now=0.0), ServerConnection(now=0.0)


def carry() -> None:
    """The whole of a transport: bytes from each side to the other, until neither has any."""
    moved = True
    while moved:
        moved = False
        for source, target in ((client, server), (server, client)):
            while data := source.data_to_send(now=0.0):
                target.receive_data(data, now=0.0)
                moved = True


asked = client.start_call("/example.Conversation/Talk", [("who", "a client that has nothing to say yet")])
carry()
answered = next(event.call for event in iter(server.next_event, None) if isinstance(event, CallStarted))
print("server hears:", answered.method, dict(answered.metadata))

answered.send_message(b"welcome")  # before any request
carry()
print("client hears:", asked.take_message())

asked.send_message(b"what time is it?")
carry()
print("server hears:", answered.take_message())

answered.send_message(b"I have no clock")  # the engine reads none: time is an argument
answered.send_message(b"good bye")
answered.finish(Status(), [("mood", "timeless")])  # though the client has not half-closed
carry()
for event in iter(asked.next_event, None):
    print("client hears:", event)
