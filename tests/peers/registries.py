"""Naming services whose lists are made of the servers that were registered: real or stand-ins."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.peers.consul_stand_in import ConsulStandIn
from tests.peers.consul_stand_in import item as consul_item
from tests.peers.discovery_stand_in import DiscoveryStandIn
from tests.peers.discovery_stand_in import instance as discovery_instance
from tests.peers.etcd_server import EtcdServer
from tests.peers.http_stand_in import Answer, Request
from tests.peers.nacos_stand_in import NacosStandIn


class ConsulRegistry(ConsulStandIn):
    """`on_request` is called with each request, before it is answered."""

    on_request: Callable[[Request], None] = staticmethod(lambda request: None)

    def respond(self, request: Request) -> Answer:
        self.on_request(request)
        answer = super().respond(request)
        if request.path.startswith("/v1/agent/service/"):
            found = list(self.registered.values())
            self.set(
                *(consul_item(f"{each['Address']}:{each['Port']}", each["Tags"]) for each in found)
            )
        return answer

    @property
    def url(self) -> str:
        return f"consul://{self.address}/echo"


class NacosRegistry(NacosStandIn):
    def respond(self, request: Request) -> Answer:
        answer = super().respond(request)
        self.hosts = self.registered_hosts()
        return answer

    @property
    def url(self) -> str:
        return f"nacos://{self.address}/?serviceName=test"


class DiscoveryRegistry(DiscoveryStandIn):
    def respond(self, request: Request) -> Answer:
        answer = super().respond(request)
        if request.path in ("/discovery/register", "/discovery/cancel"):
            found = [
                discovery_instance(*fields["addrs"], hostname=name)
                for name, fields in self.registered.items()
            ]
            self.set(*found)
        return answer

    @property
    def url(self) -> str:
        return f"discovery://{self.address}/admin.test"


STAND_INS = {"consul": ConsulRegistry, "nacos": NacosRegistry, "discovery": DiscoveryRegistry}


@contextlib.contextmanager
def registry(kind: str, folder: Path) -> Iterator[str]:
    """Start one; its URL, for servers and for channels."""
    if kind == "etcd":
        with EtcdServer(folder) as etcd:
            yield f"etcd://{etcd.address}/svc"
    elif kind == "zookeeper":
        from tests.peers.zookeeper_server import ZooKeeperServer

        with ZooKeeperServer(folder) as zookeeper:
            yield f"zk://{zookeeper.address}/svc"
    else:
        with STAND_INS[kind]() as stand_in:
            yield stand_in.url
