"""register: keep a server in the list of a naming service until it leaves it."""

from __future__ import annotations

import dataclasses
import importlib
import math
import os
import time
from collections.abc import Callable

from pybrpc.base.deadline import deadline_after
from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import NAMING, run_guarded
from pybrpc.base.wake_list import StopLatch
from pybrpc.errors import NamingError
from pybrpc.naming.background import Background
from pybrpc.naming.interfaces import InterruptedFetchError
from pybrpc.naming.naming_error import naming_error
from pybrpc.naming.naming_url import NamingUrl
from pybrpc.naming.registration.reachable import reachable_node
from pybrpc.naming.registration.registrar import UNREGISTERED_AFTER, Registrar
from pybrpc.naming.server_node import ServerNode

RETRY_S = 0.5
"""The first pause after a failure; doubled with each further one, up to the interval of renewals:
the entry ends if nothing renews it."""
DEREGISTER_TRIES = 3

_ANY_NODE = ServerNode(Endpoint("127.0.0.1", 1))

_PACKAGE = "pybrpc.naming.registration"
_REGISTRARS = {
    "consul": "consul_registrar.ConsulRegistrar",
    "discovery": "discovery_registrar.DiscoveryRegistrar",
    "etcd": "etcd_registrar.EtcdRegistrar",
    "nacos": "nacos_registrar.NacosRegistrar",
    "zookeeper": "zookeeper_registrar.ZooKeeperRegistrar",
}


@dataclasses.dataclass(frozen=True, slots=True)
class RegistrationState:
    """The knowledge of an entry at one moment. Times are those of `time.time()`; 0: never.

    is_registered   whether the naming service has said so, and nothing else since
    renewed_s       when it has last said so
    error, error_s  the last failure, also if it works again
    failures        requests in a row that have failed
    """

    is_registered: bool = False
    renewed_s: float = 0.0
    error: NamingError | None = None
    error_s: float = 0.0
    failures: int = 0


class Registration:
    """The entry of a server in a naming service, which a thread keeps until `deregister`.

    It is made, renewed and, if it has been lost, made anew, in the background; failures are logged,
    and are in `state`. In a forked child it is the parent's: the child never removes it.
    """

    def __init__(self, url: NamingUrl, node: ServerNode, registrar: Registrar) -> None:
        self.url = url
        self.node = node
        self.state = RegistrationState()
        self._registrar = registrar
        self._pid = os.getpid()
        self._has_tried = False
        self._is_ending = False
        self._was_registered = False
        self._settled = StopLatch()
        """Set when the naming service has the entry, or is not to get it any more."""
        self.left = StopLatch()
        """Set when nothing is done for the entry any more, because of `deregister` or the end of
        the process. Whether it was removed is in `state`."""
        self._background = Background(self._step, f"pybrpc-register-{url.scheme}", self._end)

    @property
    def is_ending(self) -> bool:
        """Whether the entry was removed, or is to be."""
        return self._is_ending

    def start(self) -> None:
        """Begin to register, once. RuntimeError if no thread can be started."""
        self._background.start()

    def wait_registered(self, timeout_s: float) -> bool:
        """Block until the naming service has the entry; False if it has not after `timeout_s`, or
        is not to have it any more."""
        self._settled.wait(deadline_after(timeout_s))
        return self._was_registered and not self._is_ending

    def deregister(self, timeout_s: float = 5.0) -> bool:
        """Remove the entry, and wait at most `timeout_s` seconds for that; 0: don't wait.

        True if it is removed. If the naming service does not answer, it drops the entry later by
        itself: each entry has a time limit, which nothing renews any more. Any thread; idempotent.
        """
        if os.getpid() != self._pid:
            return True
        if self._background.is_running:
            self._end()
            if timeout_s > 0:
                self._background.join(timeout_s)
        else:
            self._is_ending = True
            self._settled.set()
            self.left.set()
        return not self.state.is_registered

    def _end(self) -> None:
        is_first, self._is_ending = not self._is_ending, True
        self._settled.set()
        self._background.wake()
        if not is_first:
            return  # an interrupt would end the removal
        run_guarded(self._registrar.interrupt, what=f"interrupt() of {self.url}", log=NAMING)

    def _step(self) -> float | None:
        if self._is_ending:
            self._leave()
            run_guarded(self._registrar.close, what=f"close() of {self.url}", log=NAMING)
            self.left.set()
            return None
        try:
            if not self.state.is_registered:
                self._has_tried = True
                self._registrar.register()
            elif not self._registrar.renew():
                NAMING.warning("%s has lost the entry of %s, which is made anew", *self._names())
                self.state = dataclasses.replace(self.state, is_registered=False)
                return 0.0
        except InterruptedFetchError:
            return 0.0
        except BaseException as error:
            return self._on_failure(error)
        self._on_success()
        return self._registrar.interval_s

    def _on_success(self) -> None:
        if self.state.failures or not self.state.is_registered:
            NAMING.info("%s has the entry of %s", *self._names())
        self.state = dataclasses.replace(
            self.state, is_registered=True, renewed_s=time.time(), failures=0
        )
        self._was_registered = True
        self._settled.set()

    def _on_failure(self, error: BaseException) -> float:
        """Returns the seconds until the next try."""
        before = self.state
        failures = before.failures + 1
        self.state = RegistrationState(
            before.is_registered and failures < UNREGISTERED_AFTER,
            before.renewed_s,
            naming_error(self.url, error),
            time.time(),
            failures,
        )
        if str(before.error) != str(self.state.error) or not before.failures:
            NAMING.warning("%s: registering %s failed: %s", *self._names(), self.state.error)
        return min(math.ldexp(RETRY_S, min(failures - 1, 20)), self._registrar.interval_s)

    def _leave(self) -> None:
        """Remove the entry, if there may be one: an answer that was lost may have made it."""
        for attempt in range(DEREGISTER_TRIES if self._has_tried else 0):
            try:
                self._registrar.deregister()
            except InterruptedFetchError:
                continue  # meant for what ran before
            except BaseException as error:
                failed = naming_error(self.url, error)
                self.state = dataclasses.replace(self.state, error=failed, error_s=time.time())
                NAMING.warning("%s: removing %s failed: %s", *self._names(), failed)
                time.sleep(0.05 * attempt)
                continue
            self.state = dataclasses.replace(self.state, is_registered=False)
            NAMING.info("%s has the entry of %s no more", *self._names())
            return

    def _names(self) -> tuple[NamingUrl, ServerNode]:
        return self.url, self.node

    def __repr__(self) -> str:
        state = "registered" if self.state.is_registered else "not registered"
        return f"<Registration of {self.node} at {self.url}, {state}>"


def register(where: str | NamingUrl, node: ServerNode | str) -> Registration:
    """Put a server into a naming service, and keep it there.

    where   a URL as channels use it: etcd://, zookeeper://, consul://, nacos:// or discovery://
    node    the address by which clients reach the server, and its tag: "10.0.0.1:8000 3 zone=a"

    Returns at once; `wait_registered` of the result waits. Raises AddressError if one of both is
    wrong, MissingExtraError if the scheme needs a package that is not installed, RuntimeError if no
    thread can be started.
    """
    registration = new_registration(NamingUrl.parse(where), reachable_node(node))
    registration.start()
    return registration


def new_registration(url: NamingUrl, node: ServerNode) -> Registration:
    """A registration that was not started. AddressError for a URL to which servers can't be
    registered, MissingExtraError."""
    return Registration(url, node, _registrar_of(url)(url, node))


def check_registrable(url: NamingUrl) -> None:
    """Raise what `new_registration` would raise for any server."""
    _registrar_of(url)(url, _ANY_NODE).close()


def _registrar_of(url: NamingUrl) -> Callable[[NamingUrl, ServerNode], Registrar]:
    name = _REGISTRARS.get(url.scheme)
    if name is None:
        raise url.error(f"servers register with {', '.join(_REGISTRARS)}")
    module, _, cls = name.partition(".")
    made: Callable[[NamingUrl, ServerNode], Registrar] = getattr(
        importlib.import_module(f"{_PACKAGE}.{module}"), cls
    )
    return made
