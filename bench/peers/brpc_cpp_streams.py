"""Streams of C++ bRPC: its examples don't measure any, so cpp/stream_echo.cpp does."""

from __future__ import annotations

from bench.peers import cpp_program
from bench.peers.brpc_cpp import CppClient
from bench.peers.cpp_program import STREAMS
from bench.work import StreamEcho, Work


class CppStreamClient(CppClient):
    """Its client. What it prints are messages that have come back, and were checked."""

    example = STREAMS

    def flags_for(self, work: Work) -> tuple[str, ...]:
        assert isinstance(work, StreamEcho)
        return (f"-stream_num={work.streams}", f"-message_size={work.size_bytes}")


def missing() -> str:
    """Why it can't take part, or ""."""
    return cpp_program.missing(STREAMS)


PEER = CppStreamClient()
