"""/naming: naming services and their lists."""

from __future__ import annotations

from pybrpc.builtin.naming_page import show_naming
from pybrpc.builtin.page import PageResponse
from pybrpc.builtin.registry import run_page
from pybrpc.errors import NamingError
from pybrpc.naming import NamingState, ServerNode
from tests.fakes.pages import HOSTILE, FakeServerView, Markup, request_of
from tests.peers.naming_watchers import RecordingWatcher, watching

NOW_S = 1000.0
NODES = tuple(ServerNode.parse(f"10.0.0.{number}:80", "3") for number in range(1, 103))
STATES = {
    "etcd://10.9.9.9:2379/svc": NamingState(NODES, 940.0, 999.0, NamingError("status\n503"), 900.0),
    "consul://10.9.9.9/echo": NamingState(
        None, error=NamingError("refused"), error_s=998.0, is_failing=True, failures=4
    ),
    "dns://later": NamingState(),
}


def shown(path: str = "/naming", wants_html: bool = False, **states: NamingState) -> PageResponse:
    request = request_of(path, wants_html=wants_html)
    return show_naming(request, FakeServerView(), lambda: states or STATES, lambda: NOW_S)


def test_text_has_a_part_for_each_naming_service() -> None:
    parts = str(shown().body).split("\n\n")
    assert parts[0] == "count: 3"
    assert parts[1] == (
        "[consul://10.9.9.9/echo]\nstate: failing\nservers: 0\nchanged: never\nchecked: never\n"
        "failures_in_a_row: 4\nlast_error: refused (2 s ago)"
    )
    assert "state: no answer yet\n" in parts[2]
    assert parts[3].startswith(
        "[etcd://10.9.9.9:2379/svc]\nstate: working\nservers: 102\nchanged: 1 m 0 s ago\n"
        "checked: 1 s ago\nfailures_in_a_row: 0\nlast_error: status 503 (1 m 40 s ago)\n"
        "server: 10.0.0.1:80 3\n"
    )
    assert parts[3].endswith("server: 10.0.0.100:80 3\n... 2 more: /naming?givemeall\n")


def test_all_servers_are_listed_if_that_is_asked_for() -> None:
    body = str(shown("/naming?givemeall").body)
    assert body.count("server: ") == 102
    assert "more" not in body


def test_html_has_the_same() -> None:
    markup = Markup(str(shown(wants_html=True).body))
    for text in ("working", "failing", "no answer yet", "1 m 0 s ago", "status 503", "10.0.0.100"):
        assert text in markup.text
    assert "10.0.0.101:80" not in markup.text
    assert {"good", "bad"} <= set(markup.values_of("class"))


def test_texts_of_others_are_escaped_and_stay_on_one_line() -> None:
    node = ServerNode.parse("10.0.0.1:80", f"a\n{HOSTILE}")
    state = NamingState((node,), 1.0, 1.0, NamingError(f"b\n{HOSTILE}"), 1.0)
    markup = Markup(str(shown(wants_html=True, hostile=state).body))
    assert markup.dangers() == []
    lines = str(shown(hostile=state).body).splitlines()
    assert len([line for line in lines if "onerror" in line]) == 2
    assert all(line.startswith(("server: ", "last_error: ")) for line in lines if "alert" in line)


def test_naming_services_of_this_process_are_shown() -> None:
    with watching("dlist://127.0.0.1:81,127.0.0.1:82?interval=60") as watcher:
        watcher.wait_list("127.0.0.1:81", "127.0.0.1:82")
        assert isinstance(watcher, RecordingWatcher)
        body = str(run_page(request_of("/naming"), FakeServerView()).body)
    assert "[dlist://127.0.0.1:81,127.0.0.1:82?interval=60]\nstate: working\n" in body
    assert "server: 127.0.0.1:82\n" in body


def test_it_is_no_page_for_everybody() -> None:
    found = run_page(request_of("/naming", is_internal=False), FakeServerView())
    assert found.status == 403
