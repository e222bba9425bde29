"""PageServer: the port of the pages: who may use it, and what it leaves."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.server.workers.pages.page_server import PageServer
from pybrpc.transport.listening.acceptor import ListenError
from tests.fakes.page_workers import PageWorkers

WHERE = Endpoint("127.0.0.1", 8000)
BROWSER = "Mozilla/5.0"


@pytest.fixture
def address() -> Iterator[str]:
    with PageWorkers(2) as workers:
        server = PageServer(workers, WHERE, lambda: True)
        yield f"http://{server.listen(0)}"
        server.close()
        server.close()


def look(url: str, data: bytes | None = None, **headers: str) -> tuple[int, str]:
    """Status and body; "_" in the name of a header is a dash."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, fields)) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_internal_pages_are_for_all_that_come_by_an_address(address: str) -> None:
    assert look(f"{address}/workers")[0] == 200
    assert look(f"{address}/connections?worker=1")[0] == 200
    assert look(f"{address}/workers", Host="foreign.example")[0] == 403
    assert look(f"{address}/vars", Origin="http://foreign.example")[0] == 403


def test_hosts_that_workers_allow_are_those_of_the_pages_too() -> None:
    with PageWorkers(1) as workers:
        server = PageServer(workers, WHERE, lambda: True)
        url = f"http://{server.listen(0)}/workers"
        try:
            assert look(url, Host="pages.corp.example")[0] == 403
            workers.hosts = ["*.corp.example"]
            assert look(url, Host="pages.corp.example:80")[0] == 200
            assert look(url)[0] == 200, "by its address"
            assert look(url, Host="foreign.example")[0] == 403
            workers.hosts = ["*.corp.example", "*"]
            assert look(url, Host="pages.corp.example")[0] == 403, "named by no one"
        finally:
            server.close()


def test_post_needs_a_token(address: str) -> None:
    data = b"value=true"
    assert look(f"{address}/flags/save_series", data)[0] == 403
    assert look(f"{address}/flags/save_series", data, X_Pybrpc_Post="1")[0] == 200


def test_there_is_nothing_but_pages(address: str) -> None:
    assert look(f"{address}/conformance.EchoService/Echo", b"{}")[0] == 404


def test_pages_are_those_of_the_workers_address_and_state(address: str) -> None:
    _, page = look(f"{address}/status", User_Agent=BROWSER)
    assert '<span class="address">127.0.0.1:8000</span>' in page
    assert '<span class="worker">all of 2 workers</span>' in page
    assert "stopping" in page


def test_port_that_is_taken_leaves_nothing(address: str) -> None:
    port = int(address.rpartition(":")[2])
    with PageWorkers(1) as workers, pytest.raises(ListenError):
        PageServer(workers, WHERE, lambda: False).listen(port)


def test_unix_socket_has_no_host_to_listen_on() -> None:
    with PageWorkers(1) as workers, pytest.raises(ListenError, match="TCP port"):
        PageServer(workers, Endpoint.parse("unix:/tmp/x.sock"), lambda: False).listen(0)
