"""StopReport: what a stopping server logs, and when."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from pybrpc.server.lifecycle import server_stop
from pybrpc.server.lifecycle.server_stop import StopReport
from pybrpc.server.values import UnfinishedCall, UnfinishedConnection
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch import periodic

CALL = UnfinishedCall("a.Service.Method", "10.0.0.1:7", 3.0, "open")
CONNECTION = UnfinishedConnection("10.0.0.1:7", "open", 1, 0)
IDLE = UnfinishedConnection("10.0.0.1:8", "closing", 0, 0)
GONE = UnfinishedConnection("10.0.0.1:9", "gone", 0, 0)


class Stage:
    """A report of a server with one request that runs, and what it logs."""

    def __init__(self, patch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture) -> None:
        self.dispatcher = StepDispatcher()
        for module in (server_stop, periodic):
            patch.setattr(module, "time", self.dispatcher.clock)
        self.calls = [CALL]
        self.connections = [CONNECTION]
        self.report = StopReport(
            SimpleNamespace(  # type: ignore[arg-type]
                dispatcher=self.dispatcher,
                unfinished=lambda: self.calls,
                unfinished_connections=lambda: self.connections,
                acceptor=SimpleNamespace(endpoint="127.0.0.1:8000"),
            )
        )
        self._log = log

    def after(self, seconds: float) -> list[str]:
        self._log.clear()
        self.dispatcher.advance(seconds)
        return self.said

    @property
    def said(self) -> list[str]:
        return [record.getMessage() for record in self._log.records]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Stage:
    return Stage(monkeypatch, caplog)


def test_report_is_logged_after_one_second_and_each_time_its_age_doubles(stage: Stage) -> None:
    stage.report.start()
    assert stage.after(0.9) == []
    (line,) = stage.after(0.1)
    assert line == (
        "the server on 127.0.0.1:8000, stopping for 1.0 s, still waits for "
        f"1 request ({CALL}); 1 connection ({CONNECTION})"
    )
    assert stage.after(0.9) == []
    assert "stopping for 2.0 s" in stage.after(0.1)[0]
    assert stage.after(1.9) == []
    assert "stopping for 4.0 s" in stage.after(0.1)[0]


def test_report_logs_nothing_after_its_end(stage: Stage) -> None:
    stage.report.start()
    stage.report.end()
    assert stage.after(10) == []


def test_report_can_end_before_it_began(stage: Stage) -> None:
    stage.report.end()
    assert stage.said == []


def test_report_logs_what_is_given_up(stage: Stage) -> None:
    stage.report.give_up()
    assert stage.said[0].startswith(
        "the server on 127.0.0.1:8000, stopping for 0.0 s, gives up 1 request ("
    )


def test_connections_without_work_are_not_given_up(stage: Stage) -> None:
    stage.calls = []
    stage.connections = [IDLE, GONE]
    stage.report.give_up()
    assert stage.said == []


@pytest.mark.parametrize("work", [{"running": 1}, {"unwritten_bytes": 1}, {"holds": 1}])
def test_only_busy_connections_are_given_up(stage: Stage, work: dict[str, int]) -> None:
    busy = dataclasses.replace(IDLE, **work)
    stage.calls = []
    stage.connections = [IDLE, GONE, busy]
    stage.report.give_up()
    assert stage.said[0].endswith(f"gives up 0 requests; 1 connection ({busy})")


def test_request_whose_connection_is_gone_is_given_up(stage: Stage) -> None:
    stage.connections = [GONE]
    stage.report.give_up()
    assert stage.said[0].endswith(f"gives up 1 request ({CALL}); 0 connections")
