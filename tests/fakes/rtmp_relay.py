"""RunningRelay: an RtmpRelay with a server of its own, whose events a test can wait for."""

from __future__ import annotations

import threading
from typing import Any

import pybrpc
from pybrpc.rtmp import RelayEvent, RelayStreamStatistics, RtmpRelay

LIMIT_S = 30.0


class RunningRelay:
    """Runs while the `with` does, on 127.0.0.1, on a free port unless one is given."""

    def __init__(
        self, server_options: dict[str, Any] | None = None, port: int = 0, **options: Any
    ) -> None:
        self.events: list[RelayEvent] = []
        self._condition = threading.Condition()
        self.relay = RtmpRelay(on_event=self._on_event, **options)
        self.server = pybrpc.Server(rtmp_service=self.relay, **(server_options or {}))
        self.port = port

    def url(self, name: str = "live/stream") -> str:
        return f"rtmp://127.0.0.1:{self.port}/{name}"

    def _on_event(self, event: RelayEvent) -> None:
        with self._condition:
            self.events.append(event)
            self._condition.notify_all()

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def wait_event(self, kind: str, count: int = 1) -> RelayEvent:
        """Wait until so many events of this kind have come; return the last of them."""

        def found() -> list[RelayEvent]:
            return [event for event in self.events if event.kind == kind]

        with self._condition:
            assert self._condition.wait_for(lambda: len(found()) >= count, LIMIT_S), self.events
            return found()[count - 1]

    def stream(self, name: str = "live/stream") -> RelayStreamStatistics:
        (stream,) = (one for one in self.relay.statistics().streams if one.name == name)
        return stream

    def __enter__(self) -> RunningRelay:
        endpoint = self.server.start(f"127.0.0.1:{self.port}")
        self.port = int(str(endpoint).rpartition(":")[2])
        return self

    def __exit__(self, *exception: object) -> None:
        self.server.stop(1.0)
        self.server.join()
        self.relay.close()
