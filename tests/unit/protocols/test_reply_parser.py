"""ReplyParser without hiredis, and when it disagrees with hiredis."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from pybrpc.errors import MissingExtraError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.redis import reply_parser
from pybrpc.protocols.redis.reply_parser import ReplyParser, check_hiredis
from pybrpc.protocols.redis.reply_scanner import MalformedReplyError


def test_missing_hiredis_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    check_hiredis()
    monkeypatch.setitem(sys.modules, "hiredis", None)
    with pytest.raises(MissingExtraError, match=r'pip install "pybrpc\[redis\]"'):
        check_hiredis()
    with pytest.raises(MissingExtraError):
        ReplyParser(1000)


def test_whole_reply_of_which_hiredis_awaits_more_is_malformed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Waiting:
        def feed(self, *data: Any) -> None:
            pass

        def gets(self) -> Any:
            return reply_parser._MORE

    monkeypatch.setattr(reply_parser, "_new_reader", Waiting)
    with pytest.raises(MalformedReplyError, match="expects more bytes after a whole reply"):
        ReplyParser(1000).parse(IOBuf(b"+OK\r\n"), [])
