"""FakeNaming: an own naming service whose answers the test gives."""

from __future__ import annotations

import contextlib
import itertools
import queue
from collections.abc import Iterator
from typing import Any

from pybrpc.naming import NamingService, NamingUrl, UpdatePolicy, register_naming_service, schemes

_names = itertools.count()
QUICK = UpdatePolicy(retry_s=0.01, max_retry_s=0.02, confirm_s=0.01)


class FakeNaming(NamingService):
    """`give` gives the answer to one `fetch`: a list, or something to raise. `fetch` waits for it,
    or for `interrupt`."""

    interval_s = 0.0
    policy = QUICK

    def __init__(self, url: NamingUrl) -> None:
        self.url = url
        self.answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.fetches = self.forgets = self.interrupts = self.closes = 0

    def give(self, answer: Any) -> None:
        self.answers.put(answer)

    def fetch(self) -> Any:
        self.fetches += 1
        answer = self.answers.get(timeout=30)
        if isinstance(answer, BaseException) or (
            isinstance(answer, type) and issubclass(answer, BaseException)
        ):
            raise answer
        return answer

    def forget(self) -> None:
        self.forgets += 1

    def interrupt(self) -> None:
        self.interrupts += 1
        self.answers.put(InterruptedError("interrupted"))

    def close(self) -> None:
        self.closes += 1


class FakeScheme:
    """A scheme of its own; `made` are the services of its URLs."""

    def __init__(self, kind: type[FakeNaming] = FakeNaming) -> None:
        self.name = f"fake{next(_names)}"
        self.url = f"{self.name}://rest"
        self.made: list[FakeNaming] = []
        self._kind = kind
        self.first_answers: list[Any] = []
        """Each service that is made begins with them."""

    def make(self, url: NamingUrl) -> FakeNaming:
        service = self._kind(url)
        for answer in self.first_answers:
            service.give(answer)
        self.made.append(service)
        return service

    @property
    def service(self) -> FakeNaming:
        return self.made[-1]


@contextlib.contextmanager
def fake_scheme(kind: type[FakeNaming] = FakeNaming) -> Iterator[FakeScheme]:
    """A scheme that exists until the end of the `with`."""
    scheme = FakeScheme(kind)
    register_naming_service(scheme.name, scheme.make)
    try:
        yield scheme
    finally:
        del schemes._factories[scheme.name]
