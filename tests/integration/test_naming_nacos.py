"""nacos:// against a stand-in that answers as the open API of Nacos is documented, and with faults.

bRPC's test `nacos` is in tests/integration/test_acceptance_naming.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from pybrpc.errors import AddressError
from pybrpc.naming import watch
from tests.peers.http_stand_in import Fault
from tests.peers.nacos_stand_in import LIST, LOGIN, NacosStandIn, host
from tests.peers.naming_watchers import RecordingWatcher, watching

QUICK = "retry=0.01&max_retry=0.05&confirm_interval=0.01"


@pytest.fixture
def nacos() -> Iterator[NacosStandIn]:
    with NacosStandIn(host("10.0.0.1:80"), host("10.0.0.2:80", 2.5)) as made:
        yield made


@contextlib.contextmanager
def watching_test(
    nacos: NacosStandIn, options: str = "", user: str = ""
) -> Iterator[RecordingWatcher]:
    where = f"nacos://{user}{nacos.address}/?serviceName=test&{QUICK}&{options}"
    with watching(where) as watcher:
        yield watcher


def test_list_and_its_changes(nacos: NacosStandIn) -> None:
    with watching_test(nacos, "groupName=g1&clusters=wx&healthyOnly=true") as watcher:
        watcher.wait_list("10.0.0.1:80 1", "10.0.0.2:80 2.5")
        nacos.hosts = [host("10.0.0.3:80", 10.0)]
        watcher.wait_list("10.0.0.3:80 10")
        fields = nacos.requests[0].fields
        assert fields["groupName"] == ["g1"]
        assert fields["healthyOnly"] == ["true"]
        assert watcher.errors == []


def test_it_is_asked_as_often_as_it_says(nacos: NacosStandIn) -> None:
    nacos.cache_ms = 3_600_000
    with watching_test(nacos) as watcher:
        watcher.wait_list("10.0.0.1:80 1", "10.0.0.2:80 2.5")
        with watching_test(nacos, "interval=0.02"):
            nacos.wait_for(lambda: nacos.count(LIST) > 4)


def test_only_healthy_and_enabled_instances_with_a_weight(nacos: NacosStandIn) -> None:
    nacos.hosts = [
        host("10.0.0.1:80", healthy=False),
        host("10.0.0.2:80", enabled=False),
        host("10.0.0.3:80", 0.0),
        host("10.0.0.4:80", 0.5, metadata={"tag": "main zone=a"}),
        host("10.0.0.5:80", port="none"),
        host("10.0.0.6:80", ip="fe00::1"),
    ]
    with watching_test(nacos) as watcher:
        watcher.wait_list("10.0.0.4:80 main zone=a weight=0.5", "[fe00::1]:80 1")
        assert [node.weight for node in watcher.nodes or ()] == [0.5, 1.0]


def test_answer_without_a_healthy_instance_keeps_the_list(nacos: NacosStandIn) -> None:
    with watching_test(nacos) as watcher:
        watcher.wait_list("10.0.0.1:80 1", "10.0.0.2:80 2.5")
        nacos.hosts = [host("10.0.0.1:80", healthy=False)]
        watcher.wait_error("no server can be used: instances are not healthy")
        assert len(watcher.lists) == 1


def test_empty_lists_after_a_restart_are_not_taken_for_true(nacos: NacosStandIn) -> None:
    """As in nacos#10209: a server that was started anew has no instances for some seconds."""
    nacos.faults.extend([Fault(), *[Fault(body=b'{"cacheMillis": 20, "hosts": []}')] * 2])
    with watching_test(nacos) as watcher:
        watcher.wait_error("2 of 3")
        nacos.hosts.append(host("10.0.0.3:80"))
        watcher.wait_list("10.0.0.1:80 1", "10.0.0.2:80 2.5", "10.0.0.3:80 1")
        assert len(watcher.lists) == 2
        nacos.hosts = []
        watcher.wait_list()


def test_login_comes_first_and_its_token_is_renewed_early(nacos: NacosStandIn) -> None:
    nacos.needs_login = True
    nacos.token_ttl_s = 0.2  # type: ignore[assignment]
    with watching_test(nacos, user="nacos:nacos@") as watcher:
        watcher.wait_list("10.0.0.1:80 1", "10.0.0.2:80 2.5")
        nacos.wait_for(lambda: nacos.count(LOGIN) >= 3)
        assert nacos.requests[0].path == LOGIN
        assert watcher.errors == []


def test_token_that_is_refused_leads_to_a_new_login(nacos: NacosStandIn) -> None:
    nacos.needs_login = True
    with watching_test(nacos, user="nacos:nacos@") as watcher:
        watcher.wait_list("10.0.0.1:80 1", "10.0.0.2:80 2.5")
        nacos.revoke_tokens()
        nacos.hosts = [host("10.0.0.3:80")]
        watcher.wait_list("10.0.0.3:80 1")
        assert watcher.errors == []
        assert nacos.count(LOGIN) == 2


@pytest.mark.parametrize(("user", "text"), [("nacos:wrong@", "login is refused"), ("", "denied")])
def test_access_that_is_refused_is_an_error_without_the_password(
    nacos: NacosStandIn, user: str, text: str
) -> None:
    nacos.needs_login = True
    with watching_test(nacos, user=user) as watcher:
        error = watcher.wait_error(text)
        assert "wrong" not in str(error)
        assert watcher.last is None


FAULTS = {
    "500": (Fault(status=500, body=b"server is DOWN now"), "status 500"),
    "hang": (Fault(hangs=True), "timed out"),
    "truncated": (Fault(truncated=True), "IncompleteRead"),
    "no JSON": (Fault(body=b"<html>"), "no JSON"),
    "no hosts": (Fault(body=b'{"code": 1}'), "no 'hosts' that is a list"),
    "another type": (Fault(body=b"[]"), "no 'hosts' that is a list"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_keep_the_last_list(nacos: NacosStandIn, fault: str) -> None:
    nacos.faults.extend([Fault(), FAULTS[fault][0]])
    with watching_test(nacos, "timeout=0.1") as watcher:
        watcher.wait_error(FAULTS[fault][1])
        assert watcher.lists == [["10.0.0.1:80 1", "10.0.0.2:80 2.5"]]
        nacos.hosts = [host("10.0.0.9:80")]
        watcher.wait_list("10.0.0.9:80 1")


def test_another_context_path(nacos: NacosStandIn) -> None:
    where = f"nacos://{nacos.address}/registry/?serviceName=test&{QUICK}"
    with watching(where) as watcher:
        watcher.wait_error("status 404")
        assert nacos.requests[0].path == "/registry/v1/ns/instance/list"


@pytest.mark.parametrize(
    "rest", ["", "h", "h?serviceName=", "serviceName=x", "h?serviceName=x&colour=red", "h:x?"]
)
def test_wrong_urls_are_refused(rest: str) -> None:
    with pytest.raises(AddressError):
        watch(f"nacos://{rest}", RecordingWatcher())
