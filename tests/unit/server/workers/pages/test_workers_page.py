"""/workers: what it says of each process, as text and as HTML."""

from __future__ import annotations

from pybrpc.builtin.server_view import RegistrationView
from pybrpc.server import ServerStatistics
from pybrpc.server.workers.pages.workers_page import COUNTERS, show_workers
from pybrpc.server.workers.supervisor_statistics import SupervisorStatistics, WorkerStatistics
from tests.fakes.pages import HOSTILE, FakeServerView, Markup, request_of

STATISTICS = SupervisorStatistics(
    ServerStatistics(requests=30, errors=2),
    (
        WorkerStatistics(1, 72, "starting", 0.4, ServerStatistics(), 3),
        WorkerStatistics(0, 71, "serving", 61.2, ServerStatistics(requests=12)),
    ),
    deaths=4,
)


def text_of(statistics: SupervisorStatistics) -> str:
    found = show_workers(request_of("/workers"), FakeServerView(), statistics, 2)
    return found.body_bytes().decode()


def test_text_has_each_worker_by_its_number_and_the_sums() -> None:
    text = text_of(STATISTICS)
    assert text.startswith("workers: 2\ndeaths: 4\n\n[worker 0]\npid: 71\nstate: serving\n")
    assert "[worker 1]\npid: 72\nstate: starting\nage_s: 0\nrestarts: 3\n" in text
    assert "\n[all]\naccepted: 0\nrequests: 30\nerrors: 2\n" in text
    assert all(text.count(f"\n{name}: ") == 3 for name in COUNTERS)


def test_registrations_of_the_supervisor_are_shown() -> None:
    view = FakeServerView()
    view.registrations_shown = [RegistrationView("etcd://h/svc", "10.0.0.1:80 3", True)]
    text = show_workers(request_of("/workers"), view, STATISTICS, 2).body_bytes().decode()
    assert "deaths: 4\nregistration: registered as 10.0.0.1:80 3 at etcd://h/svc\n\n[" in text
    found = show_workers(request_of("/workers", wants_html=True), view, STATISTICS, 2)
    assert "etcd://h/svc" in Markup(found.body_bytes().decode()).text


def test_html_leads_to_each_worker() -> None:
    request = request_of("/workers", wants_html=True)
    found = show_workers(request, FakeServerView(HOSTILE), STATISTICS, 2)
    markup = Markup(found.body_bytes().decode())
    assert markup.dangers() == []
    links = [url for url in markup.values_of("href") if "worker=" in url]
    assert links == ["/status?worker=0", "/status?worker=1"]
    assert "1 of 2" in markup.text


def test_without_workers_there_are_sums_alone() -> None:
    assert "[worker" not in text_of(SupervisorStatistics())
    request = request_of("/workers", wants_html=True)
    found = show_workers(request, FakeServerView(), SupervisorStatistics(), 1)
    assert "0 of 1" in Markup(found.body_bytes().decode()).text
