"""What does it cost to wake a blocked thread, when 64 of them share one GIL?

python -m bench.experiments.thread_wakes [WORK]     WORK: loop rounds per wake, default 600 (5 µs)

No sockets: one thread waits in epoll, is woken when 16 threads have queued up, and releases the
lock on which each of them sleeps. A thread that wakes does WORK, and queues up again. This is the
frame of blocking calls, without the calls.

Verdict (2 cores, CPython 3.11, nothing else running): 34,000 wakes/s at 33 µs of processor time
and 2.8 switches each; the same on one core (taskset 1) 98,000 wakes/s at 10 µs. So two thirds of
the time goes into handing the GIL to a thread that sleeps on an idle core. Waking in a chain,
each thread the next one, gave 38,000 to 42,000 wakes/s here; docs/design/0004 says what it gives
real calls.
"""

from __future__ import annotations

import os
import resource
import select
import sys
import threading
import time
from collections import deque

THREADS = 64
BATCH = 16
SECONDS = 2.0


def main() -> None:
    work = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    queue: deque[threading.Lock] = deque()
    wake_fd = os.eventfd(0, os.EFD_NONBLOCK)
    for _ in range(THREADS):
        threading.Thread(target=sleep_and_work, args=(queue, wake_fd, work), daemon=True).start()
    wakes = wake_them(queue, wake_fd, time.monotonic() + SECONDS)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    microseconds = (usage.ru_utime + usage.ru_stime) / wakes * 1e6
    print(
        f"{wakes / SECONDS:,.0f} wakes/s, {microseconds:.1f} us of processor time and "
        f"{usage.ru_nvcsw / wakes:.1f} voluntary switches each",
        flush=True,
    )
    os._exit(0)


def sleep_and_work(queue: deque[threading.Lock], wake_fd: int, work: int) -> None:
    while True:
        lock = threading.Lock()
        lock.acquire()
        queue.append(lock)
        if len(queue) == BATCH:
            os.eventfd_write(wake_fd, 1)
        lock.acquire(timeout=5)
        for _ in range(work):
            pass


def wake_them(queue: deque[threading.Lock], wake_fd: int, end: float) -> int:
    poller = select.epoll()
    poller.register(wake_fd, select.EPOLLIN)
    wakes = 0
    while time.monotonic() < end:
        if poller.poll(0.01):
            os.eventfd_read(wake_fd)
        for _ in range(len(queue)):
            queue.popleft().release()
            wakes += 1
    return wakes


if __name__ == "__main__":
    main()
