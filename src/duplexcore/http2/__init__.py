"""gRPC calls on one HTTP/2 connection. The only folder that imports h2, hpack and hyperframe."""

from .carrier import Http2Carrier
from .frames import Frame, FrameType
from .tables import StreamState
from .tap import Observer, Tap

__all__ = ["Frame", "FrameType", "Http2Carrier", "Observer", "StreamState", "Tap"]
