"""AccessWriter: lines are logged in order by its thread, or dropped and counted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import pytest

from pybrpc.server.access_log.access_line import AccessRecord
from pybrpc.server.access_log.access_log import AccessLog
from pybrpc.server.access_log.access_writer import AccessWriter
from tests.fakes.threads import wait_until

FAR_S = 30


def record(number: int) -> AccessRecord:
    return AccessRecord(1_700_000_000.25, None, "baidu_std", f"m{number}", 0, 0.0, 0, 0, None, None)


class Collecting(logging.Handler):
    """Keeps what is logged; blocks, or raises, if it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Event()
        self.opened.set()
        self.entered = threading.Event()
        self.records: list[logging.LogRecord] = []
        self.threads: set[str] = set()
        self.raises: list[BaseException] = []

    def handle(self, record: logging.LogRecord) -> bool:
        self.entered.set()
        assert self.opened.wait(FAR_S)
        if self.raises:
            raise self.raises.pop()
        self.threads.add(threading.current_thread().name)
        self.records.append(record)
        return True

    @property
    def methods(self) -> list[str]:
        return [each.getMessage().split()[3] for each in self.records]


@pytest.fixture
def handler() -> Collecting:
    return Collecting()


@pytest.fixture
def logger(handler: Collecting) -> logging.Logger:
    logger = logging.Logger("access", logging.INFO)
    logger.addHandler(handler)
    return logger


@pytest.fixture
def writer(logger: logging.Logger, handler: Collecting) -> Iterator[AccessWriter]:
    writer = AccessWriter(AccessLog(logger=logger, max_waiting=4))
    writer.start()
    yield writer
    handler.opened.set()
    end(writer)


def end(writer: AccessWriter) -> None:
    writer.close()
    writer.join(time.monotonic() + FAR_S)


def test_lines_come_in_order_and_from_its_thread(writer: AccessWriter, handler: Collecting) -> None:
    writer.put(record(1))
    wait_until(lambda: handler.methods == ["m1"])
    writer.put(record(2))
    writer.put(record(3))
    end(writer)
    assert handler.methods == ["m1", "m2", "m3"]
    assert handler.threads == {"pybrpc-access-log"}
    assert handler.records[0].levelname == "INFO"
    assert handler.records[0].created == 1_700_000_000.25
    assert handler.records[0].msecs == 250


def test_handler_that_blocks_makes_lines_drop_and_is_told(
    writer: AccessWriter, handler: Collecting, caplog: pytest.LogCaptureFixture
) -> None:
    handler.opened.clear()
    writer.put(record(0))
    assert handler.entered.wait(FAR_S)
    for number in range(1, 10):
        writer.put(record(number))
    assert writer.dropped == 5
    assert repr(writer) == "<AccessWriter to access, open, 4 lines waiting, 5 dropped>"
    handler.opened.set()
    end(writer)
    assert handler.methods == ["m0", "m1", "m2", "m3", "m4"]
    assert "The access log is too slow: 5 lines were dropped, as 4 waited" in caplog.text
    assert caplog.text.count("too slow") == 1


@pytest.mark.parametrize("error", [ValueError(), SystemExit(), KeyboardInterrupt()])
def test_handler_that_raises_loses_its_line_alone(
    writer: AccessWriter,
    handler: Collecting,
    caplog: pytest.LogCaptureFixture,
    error: BaseException,
) -> None:
    handler.raises.append(error)
    writer.put(record(1))
    writer.put(record(2))
    end(writer)
    assert handler.methods == ["m2"]
    assert "The access log can't write a line" in caplog.text


def test_level_above_info_is_told_at_the_start(
    logger: logging.Logger, handler: Collecting, caplog: pytest.LogCaptureFixture
) -> None:
    logger.setLevel(logging.WARNING)
    writer = AccessWriter(AccessLog(logger=logger))
    writer.start()
    writer.put(record(1))
    end(writer)
    assert handler.records == []
    assert "The access log writes nothing: the level of the logger access is above" in caplog.text


def test_end_of_the_process_writes_what_waits(writer: AccessWriter, handler: Collecting) -> None:
    writer.put(record(1))
    writer._finish_at_exit()
    assert handler.methods == ["m1"]


def test_without_a_start_it_can_be_closed(logger: logging.Logger) -> None:
    writer = AccessWriter(AccessLog(logger=logger))
    end(writer)
    assert repr(writer) == "<AccessWriter to access, closed, 0 lines waiting, 0 dropped>"
