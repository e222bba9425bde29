"""Which scheme is which naming service."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable

from pybrpc.base.checked_options import why_not_called
from pybrpc.base.import_gate import importing
from pybrpc.naming.interfaces import NamingService
from pybrpc.naming.naming_url import NamingUrl
from pybrpc.naming.services.list_naming import DynamicListNaming, ListNaming

NamingFactory = Callable[[NamingUrl], NamingService]

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,30}")
_SERVICES = "pybrpc.naming.services"
# Most processes need one of them or none: the others, and what they import, are left out.
_BUILT_IN = {
    "consul": "consul_naming.ConsulNaming",
    "discovery": "discovery_naming.DiscoveryNaming",
    "dns": "dns_naming.DnsNaming",
    "etcd": "etcd_naming.EtcdNaming",
    "file": "file_naming.FileNaming",
    "http": "domain_naming.DomainNaming",
    "https": "domain_naming.DomainNaming",
    "nacos": "nacos_naming.NacosNaming",
    "remotefile": "remote_file_naming.RemoteFileNaming",
    "srv": "dns_naming.SrvNaming",
    "zookeeper": "zookeeper_naming.ZooKeeperNaming",
}
_factories: dict[str, NamingFactory] = {"dlist": DynamicListNaming, "list": ListNaming}


def register_naming_service(scheme: str, factory: NamingFactory) -> None:
    """Have URLs "scheme://..." mean the naming service that `factory(url)` makes.

    scheme    small letters, digits, "+", "." and "-", at most 31; ValueError if it is taken
    factory   gets the NamingUrl, whose `rest` is not parsed, and returns a NamingService; it must
              not block. AddressError is what it raises if the URL is wrong

    For all of the process, and from any thread; before the first channel that uses it.
    """
    if not isinstance(scheme, str) or not _SCHEME.fullmatch(scheme):
        raise ValueError(f"a scheme is a word in small letters, of at most 31, not {scheme!r}")
    if not callable(factory):
        raise TypeError(f"factory must be a function, not {factory!r}")
    if mismatch := why_not_called(factory, None):
        raise TypeError(f"factory is called as factory(url): {mismatch}")
    if scheme in _BUILT_IN or scheme == "zk" or _factories.setdefault(scheme, factory) != factory:
        raise ValueError(f"there is a naming service for {scheme}:// already")


def naming_schemes() -> list[str]:
    """The schemes that there are, in the order of the alphabet."""
    return sorted({*_BUILT_IN, *_factories})


def make_service(url: NamingUrl) -> NamingService:
    """A new service for a URL. AddressError if the URL is wrong, or its scheme unknown."""
    factory = _factories.get(url.scheme) or _built_in(url.scheme)
    if factory is None:
        known = ", ".join(naming_schemes())
        raise url.error(f"there is no naming service {url.scheme}://; there are {known}")
    service = factory(url)
    if not isinstance(service, NamingService):
        raise TypeError(f"the factory of {url.scheme}:// must return a NamingService")
    return service


def _built_in(scheme: str) -> NamingFactory | None:
    name = _BUILT_IN.get(scheme)
    if name is None:
        return None
    module, _, cls = name.partition(".")
    with importing:
        factory: NamingFactory = getattr(importlib.import_module(f"{_SERVICES}.{module}"), cls)
    return _factories.setdefault(scheme, factory)
