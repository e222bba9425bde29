"""/connections and /sockets."""

from __future__ import annotations

from pybrpc.builtin.connection_pages import MAX_SHOWN
from pybrpc.builtin.registry import run_page
from pybrpc.builtin.server_view import ConnectionView
from tests.fakes.pages import FakeServerView, Markup, request_of

HEAD = (
    "CreatedTime               |RemoteSide         |SSL|Protocol    |fd   |InBytes/s|In/s  |"
    "InBytes/m |In/m    |OutBytes/s|Out/s |OutBytes/m|Out/m   |Rtt/Var(ms)|SocketId"
)
"""As shared/vectors/pages/connections.txt, which a C++ server has sent."""


class ManyConnections(FakeServerView):
    """More connections than a page shows."""

    connection_count = MAX_SHOWN + 10

    def __init__(self) -> None:
        super().__init__()
        self.connection_count = MAX_SHOWN + 10

    def connections(self, limit: int) -> list[ConnectionView]:
        return [self.view(number) for number in range(self.connection_count)][:limit]


def lines_of(target: str, view: FakeServerView | None = None) -> list[str]:
    return str(run_page(request_of(target), view or FakeServerView()).body).splitlines()


def test_text_is_as_c_plus_plus_has_it() -> None:
    lines = lines_of("/connections")
    assert lines[0] == "server_connection_count: 1"
    assert lines[1] == lines[5] == HEAD
    assert lines[3:5] == ["", "channel_connection_count: 1"]
    cells = [cell.strip() for cell in lines[2].split("|")]
    assert cells[1:5] == ["10.0.0.1:5", "Yes", "baidu_std", "9"]
    assert cells[-2:] == ["0.2/0.1", "3"]
    assert [len(cell) for cell in lines[2].split("|")[:-1]] == [
        len(cell) for cell in HEAD.split("|")[:-1]
    ]


def test_without_channels_their_table_is_left_out() -> None:
    view = FakeServerView()
    view.channel_connections = lambda limit: []  # type: ignore[method-assign]
    assert lines_of("/connections", view)[-1] == "channel_connection_count: 0"


def test_a_page_shows_some_connections_and_says_how_to_see_all() -> None:
    lines = lines_of("/connections", ManyConnections())
    assert lines[0] == f"server_connection_count: {MAX_SHOWN + 10}"
    assert "... 10 more: /connections?givemeall" in lines
    assert len(lines_of("/connections?givemeall", ManyConnections())) > MAX_SHOWN + 10


def test_html_links_to_sockets() -> None:
    found = run_page(request_of("/connections", wants_html=True), FakeServerView())
    markup = Markup(str(found.body))
    assert {"/sockets/3", "/sockets/4"} <= set(markup.values_of("href"))
    assert "10.0.0.1:5" in markup.text


def test_one_socket() -> None:
    lines = lines_of("/sockets/3")
    assert "remote_side: 10.0.0.1:5" in lines
    assert "bytes_read: 1000" in lines
    assert not any(line.startswith("error") for line in lines)
    found = run_page(request_of("/sockets/3", wants_html=True), FakeServerView())
    assert "Socket 3" in str(found.body)


def test_sockets_without_an_id_is_their_number() -> None:
    assert lines_of("/sockets")[0] == "count: 2"
    assert run_page(request_of("/sockets", wants_html=True), FakeServerView()).status == 200


def test_other_ids() -> None:
    for path, status in [("7", 404), ("x", 400), ("-3", 400), ("9" * 30, 400), ("3/4", 400)]:
        assert run_page(request_of(f"/sockets/{path}"), FakeServerView()).status == status
