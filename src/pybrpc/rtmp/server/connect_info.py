"""RtmpConnectInfo: what a client says when it connects; RtmpRefused: a service says no."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pybrpc.base.checked_options import shown
from pybrpc.protocols.rtmp.command import Command

_CODE = re.compile(r"[A-Z][A-Za-z0-9]*(\.[A-Z][A-Za-z0-9]*)*")


class RtmpRefused(Exception):
    """Raised by the functions of an RtmpService to refuse a connection or a stream.

    A client whose connection is refused is disconnected; one whose stream is refused may ask for
    another stream.

        RtmpRefused("BadName", "somebody else publishes it")
        RtmpRefused("wrong password")

    The code is "BadName", "Denied", "StreamNotFound", "Failed", or a whole one such as
    "NetStream.Play.StreamNotFound". What does not look like one is a text, whose code is "Denied".
    ValueError for a text in the place of a code if there is another text. For a client that wants
    to connect, the text alone counts.
    """

    code = "Denied"
    text = "not allowed"

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(code, text)
        is_code = _CODE.fullmatch(str(code)) is not None
        if text and not is_code:
            raise ValueError(
                f'a code is a word such as "Denied", not {shown(code)}: write '
                "RtmpRefused(code, text), or RtmpRefused(text)"
            )
        self.code = str(code) if is_code else "Denied"
        self.text = str(text) or str(code)

    def __str__(self) -> str:
        return ": ".join(str(part) for part in self.args if part)


@dataclass(frozen=True, slots=True)
class RtmpConnectInfo:
    """The `connect` command of a client. What it says of itself may be wrong.

    app        the application: the path of its URL without the name of the stream
    tc_url     its URL without the name of the stream; "" if it sends none
    vhost      the host that it wants: "?vhost=" behind the application, else that of `tc_url`
    arguments  all values of the command, by name: flashVer, swfUrl, pageUrl, ...
    more       the values behind them, mostly none
    peer       its address

    Its repr shows the application, the host and the address: there may be secrets in the others.
    """

    app: str
    tc_url: str = field(repr=False)
    vhost: str
    arguments: dict[str, Any] = field(repr=False)
    more: tuple[Any, ...] = field(default=(), repr=False)
    peer: str = ""

    @classmethod
    def of(cls, command: Command, peer: str) -> RtmpConnectInfo:
        """No values of a peer make it raise."""
        given = command.command_object
        values = dict(given) if isinstance(given, dict) else {}
        app, tc_url = _text(values.get("app")), _text(values.get("tcUrl"))
        app, _, query = app.partition("?")
        vhost = _vhost_in(query) or _vhost_in(tc_url.partition("?")[2]) or _host_of(tc_url)
        return cls(app.strip("/"), tc_url, vhost, values, command.arguments, peer)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _vhost_in(query: str) -> str:
    try:
        return parse_qs(query, max_num_fields=32).get("vhost", [""])[0]
    except ValueError:
        return ""


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
