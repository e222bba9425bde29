"""The pages of a real supervisor with real workers: killed, stopped, replaced ones too."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import urllib.error
import urllib.request

import pytest

from pybrpc.errors import ServerStateError
from pybrpc.server import Supervisor
from pybrpc.transport.listening.acceptor import ListenError
from tests.fakes.threads import wait_until
from tests.peers.redis_server import free_port
from tests.peers.supervised import APPS, call, pids_of, supervised, wait_replaced
from tests.peers.worker_pages import BROWSER, Pages, calls_in, frozen, look, paged, pid_of

CALLS = 30
METHOD = "rpc_server_{}_conformance_echo_service_echo_count"


def counted(pages: Pages, path: str) -> int:
    return int(re.findall(r" : (\d+)\n", pages.text(path))[0])


def test_three_workers_are_shown_as_one_and_each_alone() -> None:
    with paged() as pages:
        where = pages.supervisor.endpoint
        for _ in range(CALLS):
            call(where)
        name = f"/vars/{METHOD.format(where.port)}"
        assert counted(pages, name) == CALLS
        each = [counted(pages, f"{name}?worker={number}") for number in range(3)]
        assert sum(each) == CALLS
        assert pages.calls() == CALLS
        summary = f"rpc_server_{where.port}_conformance_echo_service_echo_count {CALLS}\n"
        assert summary in pages.text("/brpc_metrics")
        assert pages.text("/health") == pages.text("/readiness") == "OK"
        for number in range(3):
            name = f"worker {number} (pid {pid_of(pages, number)})"
            assert f"==== {name} ====" in pages.text("/status")
            html = pages.text(f"/connections?worker={number}", BROWSER)
            assert f'<a href="/workers">{name}</a>' in html
            assert f"pid: {pid_of(pages, number)}\n" in pages.text("/workers")
    with pytest.raises(OSError, match=r"refused|reset"):
        look(f"http://{pages.supervisor.internal_endpoint}/")


def test_pages_of_the_shared_port_say_which_worker_answers() -> None:
    with paged(workers=2) as pages:
        url = f"http://{pages.supervisor.endpoint}/status"
        names = {f"worker {number} (pid {pid_of(pages, number)})" for number in (0, 1)}
        found: set[str] = set()
        while found != names:
            (name,) = re.findall(r'<span class="worker">([^<]*)<', look(url, agent=BROWSER)[1])
            found.add(name)
            assert found <= names


def test_flag_is_set_in_all_workers_or_in_one() -> None:
    with paged() as pages:
        status, text = pages.look("/flags/save_series", b"value=false")
        assert (status, text.count(": 200 ")) == (200, 3)
        assert pages.look("/flags/save_series?worker=1", b"value=true")[0] == 200
        shown = [pages.text(f"/flags/save_series?worker={number}") for number in range(3)]
        assert ["| false" in text for text in shown] == [True, False, True]


def test_form_of_a_worker_reaches_all() -> None:
    with paged(workers=2) as pages:
        html = pages.text("/flags/save_series?worker=1", BROWSER)
        (token,) = set(re.findall(r'name="token" value="([^"]*)"', html))
        request = urllib.request.Request(
            f"http://{pages.supervisor.internal_endpoint}/flags/save_series",
            f"token={token}&value=false".encode(),
        )
        with urllib.request.urlopen(request) as response:
            assert response.read().count(b'<td class="num">200</td>') == 2


def test_killed_worker_takes_nothing_away_and_its_successor_answers() -> None:
    with paged() as pages:
        for _ in range(CALLS):
            call(pages.supervisor.endpoint)
        assert pages.calls() == CALLS
        before = pids_of(pages.supervisor)
        victim = pid_of(pages, 1)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: pages.supervisor.statistics().deaths == 1)
        assert pages.calls() == CALLS
        wait_until(lambda: len(pids_of(pages.supervisor)) == 3)
        assert pids_of(pages.supervisor) - before == {pid_of(pages, 1)}
        assert pages.text("/health") == "OK"
        assert "restarts: 1\n" in pages.text("/workers")
        assert "pybrpc_worker_deaths_total 1\n" in pages.text("/metrics")
        call(pages.supervisor.endpoint)
        assert pages.calls() == CALLS + 1


def test_worker_that_is_killed_while_it_answers_hangs_no_page() -> None:
    with paged(workers=2) as pages:
        victim = pid_of(pages, 0)
        os.kill(victim, signal.SIGSTOP)
        os.kill(victim, signal.SIGKILL)
        text = pages.text("/flags")
        assert "==== worker 1" in text


@pytest.mark.proof
@pytest.mark.slow
def test_worker_that_hangs_is_named_and_delays_no_other() -> None:
    with paged() as pages:
        for _ in range(CALLS):
            call(pages.supervisor.endpoint)
        assert pages.calls() == CALLS
        pid = pid_of(pages, 2)
        with frozen(pid):
            assert pages.text("/status?worker=1")
            assert f"worker 2 (pid {pid}) ====\n\nit did not answer within 5 s" in pages.text(
                "/status"
            )
            assert pages.look("/health") == (
                503,
                f"worker 2 (pid {pid}): it did not answer within 5 s\n",
            )
            metrics = pages.text("/metrics")
            assert 'pybrpc_worker_up{worker="2"} 0\n' in metrics
            assert 'pybrpc_worker_up{worker="1"} 1\n' in metrics
            assert calls_in(metrics) == CALLS
        wait_until(lambda: pages.look("/health")[0] == 200)


def test_pages_while_workers_are_replaced() -> None:
    with paged(workers=2) as pages:
        for _ in range(CALLS):
            call(pages.supervisor.endpoint)
        assert pages.calls() == CALLS
        before = pids_of(pages.supervisor)
        pages.supervisor.restart()
        latest = 0.0
        while not before.isdisjoint(pids_of(pages.supervisor)):
            status, text = pages.look("/readiness")
            assert (status, text) == (200, "OK")
            assert pages.calls() >= latest
            latest = pages.calls()
        wait_replaced(pages.supervisor, before)
        assert pages.calls() == CALLS


@pytest.mark.parametrize("app", ["make_server", "make_async_server"])
def test_page_is_answered_while_a_call_blocks_everything(app: str) -> None:
    """So it is if the loop or a thread of handlers is blocked."""
    with paged(app, workers=1) as pages:
        with contextlib.suppress(Exception):
            call(pages.supervisor.endpoint, "hang", timeout=0.5)
        assert "concurrency: 1\n" in pages.text("/status?worker=0")


def test_port_of_the_server_itself_is_not_opened_in_workers(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with paged("make_server_with_internal_port", workers=2, log_level="info") as pages:
        assert pages.text("/health") == "OK"
        with pytest.raises(OSError, match="refused"):
            look("http://127.0.0.1:1/")
    wanted = "internal_port=1 of the server is not opened in worker 0: that of the supervisor is"
    assert wanted in capfd.readouterr().err


def test_without_a_port_there_are_no_pages_but_those_of_workers() -> None:
    with supervised("make_server_with_internal_port", workers=1) as supervisor:
        with pytest.raises(ServerStateError, match="internal_port"):
            _ = supervisor.internal_endpoint
        assert look(f"http://{supervisor.endpoint}/health") == (200, "OK")


@pytest.mark.parametrize("path", ["/workers", "/status", "/vars", "/metrics", "/health", "/flags"])
def test_worker_of_a_server_without_pages_has_none_here_either(path: str) -> None:
    with paged("make_server_without_pages", workers=1) as pages:
        status, text = pages.look(path)
        assert (status == 200) == (path in ("/workers", "/metrics"))
        assert "Echo" not in text


def test_port_that_is_taken_is_an_error_that_leaves_nothing() -> None:
    port = free_port()
    with Supervisor(f"{APPS}:make_server", internal_port=port) as supervisor:
        with pytest.raises(ListenError):
            supervisor.start(f"127.0.0.1:{port}")
        supervisor.start("127.0.0.1:0")
        assert supervisor.internal_endpoint.port == port


def test_supervisor_that_is_started_again_has_its_pages_again() -> None:
    with Supervisor(f"{APPS}:make_server", internal_port=0) as supervisor:
        for _ in range(2):
            supervisor.start("127.0.0.1:0")
            assert Pages(supervisor).text("/readiness") == "OK"
            supervisor.stop(0.0)
            supervisor.join()


@pytest.mark.parametrize(
    "path",
    [
        "/vars?worker=0/../1",
        "/vars?worker=%00",
        "/vars?worker=0&worker=x",
        "/%2e%2e/etc/passwd",
        "/sockets/%00%ff?worker=0",
        f"/vars/{'a' * 5000}?worker=0",
        "/flags/%3Cscript%3E?worker=0",
    ],
)
def test_hostile_paths_are_errors(path: str) -> None:
    with paged(workers=1) as pages:
        for agent in ("curl/8", BROWSER):
            status, text = pages.look(path, agent=agent)
            assert 400 <= status < 500
            assert agent != BROWSER or "<script>" not in text


@pytest.mark.proof
def test_applications_count_together_and_hosts_of_servers_are_those_of_the_pages() -> None:
    with paged("make_server_with_mount", workers=2) as pages:
        port = pages.supervisor.endpoint.port
        answers: list[str] = []
        while len(set(answers)) < 2:
            status, text = look(f"http://127.0.0.1:{port}/app/", agent="curl/8")
            assert status == 200
            answers.append(text)
        name = f"rpc_server_{port}_mount_app_count"
        assert f"{name} : {len(answers)}\n" in pages.text(f"/vars/{name}")
        assert pages.calls() == len(answers)
        # Of the text of /status there is one for each worker.
        counts = re.findall(r"^count: ([0-9]+)$", pages.text("/status"), re.M)
        assert sorted(counts) == sorted(str(answers.count(pid)) for pid in set(answers))
        address = f"http://{pages.supervisor.internal_endpoint}/workers"
        for host, expected in (("pages.corp.example", 200), ("foreign.example", 403)):
            request = urllib.request.Request(address, headers={"Host": host})
            if expected == 200:
                with urllib.request.urlopen(request) as response:
                    assert response.status == 200
            else:
                with pytest.raises(urllib.error.HTTPError, match="403"):
                    urllib.request.urlopen(request)
