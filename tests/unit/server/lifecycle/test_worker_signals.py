"""Signals that call a function while a block runs."""

from __future__ import annotations

import os
import signal
import threading

from pybrpc.server.lifecycle.signals import handling


def test_each_signal_calls_its_function_and_is_restored() -> None:
    called: list[str] = []
    before = signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGUSR1)
    functions = {
        signal.SIGHUP: lambda: called.append("hup"),
        signal.SIGUSR1: lambda: called.append("usr1"),
    }
    with handling(functions):
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGHUP)
    assert called == ["usr1", "hup"]
    assert (signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGUSR1)) == before


def test_signals_do_nothing_in_another_thread() -> None:
    before = signal.getsignal(signal.SIGHUP)
    found: list[object] = []

    def look() -> None:
        with handling({signal.SIGHUP: lambda: None}):
            found.append(signal.getsignal(signal.SIGHUP))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [before]


def test_forked_child_gets_its_signals_as_if_there_were_no_block() -> None:
    called: list[str] = []
    with handling({signal.SIGTERM: lambda: called.append("term")}):
        pid = os.fork()
        if not pid:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        os.kill(os.getpid(), signal.SIGTERM)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM
    assert called == ["term"]
