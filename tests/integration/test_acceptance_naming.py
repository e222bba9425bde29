"""bRPC's own tests of naming services, test/brpc_naming_service_unittest.cpp, with their cases.

| case of bRPC | here |
|---|---|
| sanity: DomainNamingService | test_sanity_of_domains (with a name of this host) |
| sanity: file and list, 5 servers in order | test_sanity_of_files_and_lists |
| invalid_port | test_invalid_port |
| wrong_name: 8 entries of which 4 are left out | test_wrong_name: a name that is not known \
is left out by dlist://, as in bRPC; list:// and file:// don't look names up |
| remotefile | test_remotefile |
| consul_with_backup_file | test_consul_with_backup_file |
| discovery_sanity | test_discovery_sanity, test_discovery_register, test_discovery_two_registers |
| nacos | test_nacos |
| brpc_naming_service_filter_unittest.cpp: sanity | test_filter |

What bRPC does not test: an error keeps the last list, empty lists, indexes of consul that go
backwards, compaction of etcd, times to live of DNS, weights of SRV, files that are renamed or
truncated and servers that are stopped are in test_naming_*.py beside this file, and in
tests/unit/naming/services.
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pybrpc.errors import AddressError
from pybrpc.naming import NamingUrl, watch
from pybrpc.naming.registration.discovery_registrar import DiscoveryRegistrar
from pybrpc.naming.registration.registration import Registration
from pybrpc.naming.server_node import ServerNode
from pybrpc.naming.services.list_naming import DynamicListNaming
from pybrpc.naming.wire.host_names import Family, HostNames
from tests.peers.consul_stand_in import ConsulStandIn, item
from tests.peers.discovery_stand_in import DiscoveryStandIn, instance
from tests.peers.http_stand_in import Answer, HttpStandIn, Request
from tests.peers.nacos_stand_in import NacosStandIn, host
from tests.peers.naming_watchers import RecordingWatcher, watching
from tests.peers.redis_server import free_port

ADDRESSES = [
    "10.127.0.1:1234",
    "10.128.0.1:1234",
    "10.129.0.1:1234",
    "localhost:1234",
    "baidu.com:1234",
]


@pytest.mark.parametrize(
    ("rest", "port"),
    [
        ("localhost:1234", 1234),
        ("localhost", 80),
        ("localhost:1234/useless1/useless2", 1234),
        ("localhost/useless1/useless2", 80),
    ],
)
def test_sanity_of_domains(rest: str, port: int) -> None:
    with watching(f"http://{rest}?family=4") as watcher:
        watcher.wait_list(f"127.0.0.1:{port}")


def test_sanity_of_files_and_lists(tmp_path: Path) -> None:
    file = tmp_path / "servers"
    file.write_text("".join(f"{address}\n" for address in ADDRESSES))
    with watching(f"file://{file}") as watcher:
        watcher.wait(lambda: watcher.lists == [ADDRESSES])
    with watching("list://" + "".join(f"{address}," for address in ADDRESSES)) as watcher:
        assert watcher.lists == [ADDRESSES]


@pytest.mark.parametrize("port", ["", "123a", "99999"])
def test_invalid_port(port: str) -> None:
    with pytest.raises(AddressError):
        watch(f"http://baidu.com:{port}", RecordingWatcher())


WRONG_NAMES = [
    "10.127.0.1:1234",
    "10.128.0.1:12302344",
    "10.129.0.1:1234",
    "10.128.0.1:",
    "10.128.0.1",
    "localhost:1234",
    "baidu.com:1234",
    "LOCAL:1234",
]
RIGHT_NAMES = ["10.127.0.1:1234", "10.129.0.1:1234", "localhost:1234", "baidu.com:1234"]


def test_wrong_name(tmp_path: Path) -> None:
    file = tmp_path / "servers"
    file.write_text("".join(f"{address}\n" for address in WRONG_NAMES))
    with watching(f"file://{file}") as watcher:
        watcher.wait(lambda: watcher.lists == [[*RIGHT_NAMES, "LOCAL:1234"]])
    text = "".join(f", {address}" for address in WRONG_NAMES)
    with watching(f"list://{text}") as watcher:
        assert watcher.lists == [[*RIGHT_NAMES, "LOCAL:1234"]]

    def look_up(name: str) -> list[tuple[bool, str]]:
        if name == "LOCAL":
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return [(False, {"localhost": "127.0.0.1", "baidu.com": "10.130.0.1"}[name])]

    service = DynamicListNaming(NamingUrl.parse(f"dlist://{text}"))
    service._names = HostNames(Family.PREFER_IPV4, look_up)
    assert len(service.fetch()) == 4


class FileServer(HttpStandIn):
    def respond(self, request: Request) -> Answer:
        assert request.path == "/UserNamingService/ListNames"
        return Answer(
            b"0.0.0.0:8635 tag1\r\n0.0.0.0:8636 tag2\n0.0.0.0:8635 tag3\r\n0.0.0.0:8636\r\n"
        )


@pytest.mark.parametrize("prefix", ["", "http://"])
def test_remotefile(prefix: str) -> None:
    with FileServer() as server:
        where = f"remotefile://{prefix}{server.address}/UserNamingService/ListNames"
        with watching(where) as watcher:
            watcher.wait_list(
                "0.0.0.0:8635 tag1", "0.0.0.0:8636 tag2", "0.0.0.0:8635 tag3", "0.0.0.0:8636"
            )


def test_consul_with_backup_file(tmp_path: Path) -> None:
    file = tmp_path / "servers"
    file.write_text("".join(f"{address}\n" for address in ADDRESSES[:3]))
    port = free_port()
    where = f"consul://127.0.0.1:{port}/qs_show_leaf?backup_file={file}&retry=0.02&max_retry=0.05"
    with watching(where) as watcher:
        watcher.wait(lambda: watcher.lists == [ADDRESSES[:3]])
        leaves = item("10.121.36.189:8003", ("1",)), item("10.121.36.190:8003", ("2",))
        with ConsulStandIn(*leaves, index=1, port=port):
            watcher.wait_list("10.121.36.189:8003 1", "10.121.36.190:8003 2", timeout_s=5)
        watcher.wait_error()
        assert watcher.last == ["10.121.36.189:8003 1", "10.121.36.190:8003 2"]


@pytest.mark.parametrize("by_zone", [False, True])
@pytest.mark.parametrize("long_poll", ["false", "true"])
def test_discovery_sanity(by_zone: bool, long_poll: str) -> None:
    one = instance(
        "http://127.0.0.1:8999", "grpc://127.0.1.1:9000", metadata={"weight": "10", "cluster": ""}
    )
    with DiscoveryStandIn(one, by_zone=by_zone) as discovery:
        discovery.nodes += [
            {"addr": "172.18.33.51:7171", "status": 0, "zone": ""},
            {"addr": "172.18.33.52:7171", "status": 0, "zone": ""},
        ]
        where = f"discovery://{discovery.address}/admin.test?env=uat&long_poll={long_poll}"
        with watching(where) as watcher:
            watcher.wait_list("127.0.1.1:9000 weight=10 zone=sh001")


def discovery_registration(discovery: DiscoveryStandIn, options: str = "") -> Registration:
    url = NamingUrl.parse(
        f"discovery://{discovery.address}/main.test?hostname=hostname&env=dev&zone=sh001"
        f"&version=v1&interval=0.3{options}"
    )
    node = ServerNode.parse("10.0.0.1:8000")
    return Registration(url, node, DiscoveryRegistrar(url, node))


def test_discovery_register() -> None:
    with DiscoveryStandIn() as discovery:
        assert discovery_registration(discovery).deregister()
        assert discovery.count("/discovery/cancel") == 0, "it was not registered"
        options = "&addrs=,grpc://10.0.0.1:8000,,http://10.0.0.1:8000,"
        registration = discovery_registration(discovery, options)
        registration.start()
        assert registration.wait_registered(20)
        fields = discovery.registered["hostname"]
        assert fields["addrs"] == ["grpc://10.0.0.1:8000", "http://10.0.0.1:8000"]
        assert registration.deregister()
        assert discovery.registered == {}
        assert discovery.count("/discovery/cancel") == 1


def test_discovery_two_registers() -> None:
    """Two `Register` of one object are two `start` here: one loop of renewals, and one cancel."""
    with DiscoveryStandIn() as discovery:
        registration = discovery_registration(discovery)
        registration.start()
        registration.start()
        discovery.wait_for(lambda: discovery.count("/discovery/renew") == 1)
        assert discovery.registered["hostname"]["addrs"] == ["grpc://10.0.0.1:8000"]
        assert registration.deregister()
        assert discovery.count("/discovery/register") == 1
        assert discovery.count("/discovery/renew") == 1
        assert discovery.count("/discovery/cancel") == 1


def test_nacos() -> None:
    with NacosStandIn(host("127.0.0.1:8888", 10.0), needs_login=True, cache_ms=10_000) as nacos:
        service = "serviceName=test&groupName=g1&namespaceId=n1&clusters=wx"
        with watching(f"nacos://nacos:nacos@{nacos.address}/?{service}") as watcher:
            watcher.wait_list("127.0.0.1:8888 10")
        with watching(f"nacos://nacos:invalid_password@{nacos.address}/?{service}") as watcher:
            assert "invalid_password" not in str(watcher.wait_error("the login is refused"))
            assert watcher.last is None


def test_filter(tmp_path: Path) -> None:
    """Ten servers of which each other one has the tag "enable"; ten times."""
    file = tmp_path / "servers"
    lines = [f"10.127.0.{number}:1234 {'enable' if number % 2 else ''}" for number in range(10)]
    file.write_text("\n".join(lines))
    for _ in range(10):
        with watching(f"file://{file}", server_filter=lambda node: node.tag == "enable") as watcher:
            watcher.wait(lambda: watcher.nodes)
            assert [str(node) for node in watcher.nodes or ()] == [
                f"10.127.0.{number}:1234 enable" for number in range(1, 10, 2)
            ]
