"""/pprof, as `go tool pprof` and C++ bRPC's scripts ask it."""

from __future__ import annotations

import gzip
import sys
import threading
import tracemalloc

import pytest

from tests.fakes.profiles import HOSTILE, ask, text_of, thread_in


def test_a_profile_is_a_gzipped_file() -> None:
    end = threading.Event()

    def works() -> None:
        while not end.is_set():
            sum(range(100))

    with thread_in(works):
        response = ask("/pprof/profile?seconds=0.5")
        end.set()
    assert (response.status, response.content_type) == (200, "application/octet-stream")
    assert response.headers["Content-Disposition"] == 'attachment; filename="cpu.pb.gz"'
    assert b"nanoseconds" in gzip.decompress(response.body_bytes())


def test_seconds_are_mandatory_for_a_profile() -> None:
    assert ask("/pprof/profile").status == 400


@pytest.mark.parametrize("name", ["heap", "growth?seconds=0.05"])
def test_memory_is_there_while_it_is_traced(name: str) -> None:
    assert ask(f"/pprof/{name}").status == 409
    tracemalloc.start()
    try:
        response = ask(f"/pprof/{name}")
    finally:
        tracemalloc.stop()
    assert b"inuse_space" in gzip.decompress(response.body_bytes())


def test_contention_is_there() -> None:
    response = ask("/pprof/contention?seconds=0.05")
    assert b"contentions" in gzip.decompress(response.body_bytes())


def test_there_are_no_symbols_to_ask_for() -> None:
    assert text_of(ask("/pprof/symbol")) == "num_symbols: 0\n"


def test_the_command_line_has_the_program_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["serve.py", "--password=secret"])
    assert text_of(ask("/pprof/cmdline")) == f"{sys.executable}\nserve.py\n"


@pytest.mark.parametrize("name", ["", "x", HOSTILE, "profile/x"])
def test_another_name_is_not_found(name: str) -> None:
    assert ask(f"/pprof/{name}").status == 404


def test_head_takes_no_profile() -> None:
    assert ask("/pprof/profile?seconds=60", method="HEAD").body == b""
