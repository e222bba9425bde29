"""dns:// and srv:// with real name servers: dnsmasq, and bind9 with dynamic updates."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybrpc.errors import AddressError, MissingExtraError, NamingError
from pybrpc.naming import NamingUrl, watch, watched
from pybrpc.naming.wire.dns_client import DnsClient
from tests.peers.http_stand_in import eventually
from tests.peers.naming_watchers import RecordingWatcher, watching

pytest.importorskip("dns")
from tests.peers.dns_servers import Bind, Dnsmasq

QUICK = "interval=0.02&retry=0.01&max_retry=0.05&confirm_interval=0.01"


@pytest.fixture(scope="module")
def bind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bind]:
    """Shared: each test has names of its own."""
    with Bind(tmp_path_factory.mktemp("bind")) as server:
        yield server


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return request.node.originalname.replace("_", "-")[:60]


def url_of(bind: Bind, rest: str, options: str = QUICK) -> str:
    return f"{rest}?nameserver={bind.address}&{options}"


@pytest.mark.program("named")
def test_addresses_of_a_name_and_their_changes(bind: Bind, name: str) -> None:
    bind.set(name, "A", "10.0.0.1", "10.0.0.2")
    bind.set(name, "AAAA", "fe00::1")
    with watching(url_of(bind, f"dns://{name}.test:80")) as watcher:
        watcher.wait_list("10.0.0.1:80", "10.0.0.2:80")
        bind.set(name, "A", "10.0.0.2", "10.0.0.3")
        watcher.wait_list("10.0.0.2:80", "10.0.0.3:80")
        bind.set(name, "A")
        watcher.wait_list("[fe00::1]:80")
        assert watcher.errors == []


@pytest.mark.program("named")
def test_order_of_the_answers_is_no_change(bind: Bind, name: str) -> None:
    """bind9 gives another order in each answer."""
    bind.set(name, "A", *(f"10.0.0.{number}" for number in range(1, 9)))
    url = url_of(bind, f"dns://{name}.test:80")
    with watching(url) as watcher:
        watcher.wait(lambda: watcher.lists)
        seen: set[float] = set()
        eventually(lambda: seen.add(watched()[url].checked_s) or len(seen) > 3)  # type: ignore[func-returns-value]
        assert len(watcher.lists) == 1


@pytest.mark.program("named")
@pytest.mark.parametrize(
    ("family", "wanted"),
    [
        ("any", ["10.0.0.1:80"]),
        ("4", ["10.0.0.1:80"]),
        ("6", ["[fe00::1]:80"]),
        ("both", ["10.0.0.1:80", "[fe00::1]:80"]),
    ],
)
def test_family_says_which_addresses_count(
    bind: Bind, name: str, family: str, wanted: list[str]
) -> None:
    bind.set(name, "A", "10.0.0.1")
    bind.set(name, "AAAA", "fe00::1")
    with watching(url_of(bind, f"dns://{name}.test:80", f"family={family}")) as watcher:
        watcher.wait_list(*wanted)


@pytest.mark.program("named")
def test_time_to_live_says_when_to_ask_again(bind: Bind, name: str) -> None:
    """Between 1 and 60 seconds, also along a CNAME; here without the option `interval`."""
    from pybrpc.naming.naming_url import NamingUrl
    from pybrpc.naming.services.dns_naming import DnsNaming

    intervals = []
    for ttl in (0, 7, 3600):
        bind.set(name, "A", "10.0.0.1", ttl=ttl)
        bind.set(f"{name}-alias", "CNAME", f"{name}.test.", ttl=30)
        service = DnsNaming(NamingUrl.parse(url_of(bind, f"dns://{name}-alias.test:80", "")))
        service.fetch()
        intervals.append(service.interval_s)
    assert intervals == [1, 7, 30]
    bind.set(f"{name}-alias", "CNAME", f"{name}.test.", ttl=3600)
    service.fetch()
    assert service.interval_s == 60


@pytest.mark.program("named")
@pytest.mark.slow
def test_changed_record_is_seen_after_its_time_to_live(bind: Bind, name: str) -> None:
    bind.set(name, "A", "10.0.0.1", ttl=1)
    with watching(url_of(bind, f"dns://{name}.test:80", "")) as watcher:
        watcher.wait_list("10.0.0.1:80")
        bind.set(name, "A", "10.0.0.2", ttl=1)
        watcher.wait_list("10.0.0.2:80")


@pytest.mark.program("named")
def test_name_that_vanishes_counts_as_an_empty_list(bind: Bind, name: str) -> None:
    bind.set(name, "A", "10.0.0.1")
    with watching(url_of(bind, f"dns://{name}.test:80")) as watcher:
        watcher.wait_list("10.0.0.1:80")
        bind.set(name, "A")
        watcher.wait_error("1 of 3")
        watcher.wait_list()


@pytest.mark.program("named")
def test_name_server_that_fails_keeps_the_list(bind: Bind) -> None:
    with watching(url_of(bind, "dns://x.broken:80", f"timeout=0.3&{QUICK}")) as watcher:
        watcher.wait_error("the look-up of A 'x.broken' failed")
        assert watcher.last is None


@pytest.mark.program("named")
def test_name_server_that_is_silent_keeps_the_list(tmp_path: Path) -> None:
    with Bind(tmp_path) as bind:
        bind.set("x", "A", "10.0.0.1")
        with watching(url_of(bind, "dns://x.test:80", f"timeout=0.1&{QUICK}")) as watcher:
            watcher.wait_list("10.0.0.1:80")
            bind.pause()
            watcher.wait_error("failed")
            assert len(watcher.lists) == 1
            bind.go_on()
            bind.set("x", "A", "10.0.0.2")
            watcher.wait_list("10.0.0.2:80")


@pytest.mark.program("named")
def test_next_name_server_is_asked(bind: Bind, name: str) -> None:
    bind.set(name, "A", "10.0.0.1")
    url = f"dns://{name}.test:80?nameserver=127.0.0.1:1,{bind.address}&{QUICK}"
    with watching(url) as watcher:
        watcher.wait_list("10.0.0.1:80")


@pytest.mark.program("named")
def test_srv_gives_ports_weights_and_the_first_priority(bind: Bind, name: str) -> None:
    for number in (1, 2, 3):
        bind.set(f"{name}-{number}", "A", f"10.0.0.{number}")
    srv = f"_{name[:30]}._tcp"
    bind.set(
        srv,
        "SRV",
        f"10 3 8001 {name}-1.test.",
        f"10 0 8002 {name}-2.test.",
        f"20 5 8003 {name}-3.test.",
    )
    with watching(url_of(bind, f"srv://{srv}.test")) as watcher:
        watcher.wait_list("10.0.0.1:8001 3", "10.0.0.2:8002")
        assert sorted(str(node.weight) for node in watcher.nodes or ()) == ["3.0", "None"]
        bind.set(srv, "SRV", f"10 7 8001 {name}-1.test.")
        watcher.wait_list("10.0.0.1:8001 7")
        bind.set(srv, "SRV", f"20 5 8003 {name}-3.test.")
        watcher.wait_list("10.0.0.3:8003 5")
        bind.set(srv, "SRV", "0 0 0 .")
        watcher.wait_error("1 of 3")
        watcher.wait_list()


@pytest.mark.program("named")
def test_targets_of_srv_are_looked_up_if_they_are_not_sent_along(tmp_path: Path) -> None:
    with Bind(tmp_path, minimal=True) as bind:
        bind.set("one", "A", "10.0.0.1", "10.0.0.2")
        bind.set("one", "AAAA", "fe00::1")
        bind.set("_echo._tcp", "SRV", "10 3 80 one.test.", "10 3 80 missing.test.")
        with watching(url_of(bind, "srv://_echo._tcp.test")) as watcher:
            watcher.wait_list("10.0.0.1:80 3", "10.0.0.2:80 3")
        with watching(url_of(bind, "srv://_echo._tcp.test", f"family=6&{QUICK}")) as watcher:
            watcher.wait_list("[fe00::1]:80 3")


@pytest.mark.program("dnsmasq")
def test_dnsmasq_with_hosts_and_srv_records(tmp_path: Path) -> None:
    hosts = "10.0.0.1 one.test all.test\n10.0.0.2 two.test all.test\n"
    srv = ("_echo._tcp.test,one.test,8001,10,3", "_echo._tcp.test,two.test,8002,10,1")
    with Dnsmasq(tmp_path, hosts, srv) as server:
        named = f"nameserver={server.address}&{QUICK}"
        with watching(f"srv://_echo._tcp.test?{named}") as watcher:
            watcher.wait_list("10.0.0.1:8001 3", "10.0.0.2:8002 1")
        with watching(f"dns://all.test:80?{named}") as watcher:
            watcher.wait_list("10.0.0.1:80", "10.0.0.2:80")
            server.set_hosts("10.0.0.3 all.test\n")
            watcher.wait_list("10.0.0.3:80")


def test_closed_watch_ends_its_thread_when_the_name_server_is_silent() -> None:
    """A question is not interrupted; it ends by its own time limit."""
    from tests.peers.dns_servers import free_udp_port

    began = time.monotonic()
    with watching(f"dns://x.test:80?nameserver=127.0.0.1:{free_udp_port()}&timeout=0.2"):
        pass
    assert time.monotonic() - began < 15


def test_all_questions_of_an_answer_share_one_time_limit() -> None:
    url = NamingUrl.parse("dns://x.test:80?nameserver=127.0.0.1:1")
    client = DnsClient(url, url.split()[1])
    with pytest.raises(NamingError, match="no time is left to look"):
        client.records("x.test", "A", time.monotonic() - 1)


@pytest.mark.parametrize("scheme", ["dns", "srv"])
def test_without_dnspython_the_extra_is_named(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dns.resolver", None)
    with pytest.raises(MissingExtraError, match=rf'{scheme}:// needs dnspython.*"pybrpc\[dns\]"'):
        watch(f"{scheme}://_x._tcp.test:80", RecordingWatcher())


@pytest.mark.parametrize(
    "url",
    [
        "dns://name",
        "dns://",
        "dns://name:99999",
        "dns://name:80?nameserver=localhost",
        "dns://name:80?nameserver=10.0.0.1:x",
        "dns://name:80?family=7",
        "srv://",
        "srv://_x._tcp.test:80",
        "srv://_x._tcp.test?colour=red",
    ],
)
def test_wrong_urls_are_refused(url: str) -> None:
    with pytest.raises(AddressError):
        watch(url, RecordingWatcher())
