"""WriterThread: items are written in order by its thread. More of it: the writers that use it."""

from __future__ import annotations

import threading
import time

import pytest

from pybrpc.base.writer_thread import WriterThread

FAR_S = 30.0


class Numbers(WriterThread[int]):
    """Keeps what is written; raises for 3."""

    def __init__(self) -> None:
        super().__init__("a-writer", "A writer", "a number", "%d numbers were dropped", 0.001)
        self.written: list[int] = []
        self.threads: set[str] = set()
        self.is_ended = False

    def put(self, number: int) -> None:
        if number > 9:
            self._drop()
        else:
            self._put(number)

    def _write(self, number: int) -> None:
        if number == 3:
            raise SystemExit(number)
        self.threads.add(threading.current_thread().name)
        self.written.append(number)

    def _end(self) -> None:
        self.is_ended = True
        raise OSError("broken by a test")


def test_items_are_written_in_order_and_one_that_raises_is_lost_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    writer = Numbers()
    writer.put(0)  # before the start
    writer.start()
    for number in range(1, 12):
        writer.put(number)
    writer.close()
    writer.join(time.monotonic() + FAR_S)
    assert writer.written == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert writer.threads == {"a-writer"}
    assert writer.is_ended
    assert writer.dropped == 2
    assert "A writer can't write a number" in caplog.text
    assert "2 numbers were dropped" in caplog.text
    assert "A writer has not ended well" in caplog.text


def test_items_from_many_threads_are_all_written() -> None:
    writer = Numbers()
    writer.start()

    def put_many() -> None:
        for _ in range(500):
            writer.put(1)

    threads = [threading.Thread(target=put_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(FAR_S)
    writer.close()
    writer.join(time.monotonic() + FAR_S)
    assert len(writer.written) == 2000


def test_exit_of_the_process_waits_for_what_was_put() -> None:
    writer = Numbers()
    writer.start()
    writer.put(1)
    writer._finish_at_exit()
    assert writer.written == [1]
