"""ServerSentEvent: one event of a response that a browser reads with EventSource.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import re

from pybrpc.base.checked_options import checked_count_or_none, checked_text, checked_text_or_none

EVENT_STREAM = "text/event-stream"

_LINE_END = re.compile("\r\n|\r|\n")


class ServerSentEvent:
    """An event that a handler yields, or writes into a body.

    data    text; several lines arrive as one text with "\\n" between them
    event   the name of its type; `None`: "message"
    id      the browser sends it as Last-Event-ID when it connects again
    retry   milliseconds after which the browser connects again

    ValueError for a line end in `event` or `id`, or a NUL in `id`. Values can't be changed.
    """

    __slots__ = ("data", "event", "id", "retry")

    data: str
    event: str | None
    id: str | None
    retry: int | None

    def __init__(
        self,
        data: str = "",
        event: str | None = None,
        id: str | None = None,
        retry: int | None = None,
    ) -> None:
        _set(self, "data", checked_text("data", data))
        _set(self, "event", _checked_line("event", event))
        _set(self, "id", _checked_line("id", id))
        if id is not None and "\0" in id:
            raise ValueError("the id of an event can't have a NUL")
        _set(self, "retry", checked_count_or_none("retry", retry))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} of a ServerSentEvent can't be changed")

    def to_bytes(self) -> bytes:
        """The event as it is sent, in UTF-8. Lone surrogates become "?"."""
        lines = []
        if self.event is not None:
            lines.append(f"event: {self.event}")
        if self.id is not None:
            lines.append(f"id: {self.id}")
        if self.retry is not None:
            lines.append(f"retry: {self.retry}")
        lines += [f"data: {line}" for line in _LINE_END.split(self.data)]
        return ("\n".join(lines) + "\n\n").encode("utf-8", "replace")

    def __repr__(self) -> str:
        """Without the data, which may be long or secret."""
        parts = [f"{len(self.data)} characters"]
        parts += [
            f"{name}={value!r}"
            for name in ("event", "id", "retry")
            if (value := getattr(self, name)) is not None
        ]
        return f"<ServerSentEvent {', '.join(parts)}>"


_set = object.__setattr__


def _checked_line(name: str, value: str | None) -> str | None:
    checked_text_or_none(name, value)
    if value is not None and _LINE_END.search(value):
        raise ValueError(f"the {name} of an event is one line: {value!r}")
    return value
