"""Random reads into an IOPortal and cuts from it, compared with plain bytes."""

from __future__ import annotations

import os
import socket

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pybrpc.iobuf import IOBuf, IOPortal

ASKED = st.sampled_from([1, 4096, 65536, 65537, 70_000, 300_000, 700_000])
COUNT = st.integers(0, 100) | st.integers(0, 400_000)


class PortalAgainstBytes(RuleBasedStateMachine):
    """A portal and its model. All cut parts are kept, together with their expected bytes."""

    @initialize()
    def start(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.portal = IOPortal()
        self.model = b""
        self.kept: list[tuple[IOBuf | bytes | memoryview, bytes]] = []
        self.stamp = 0

    @rule(size=st.integers(1, 60_000), asked=ASKED)
    def read(self, size: int, asked: int) -> None:
        self.stamp += 1
        data = bytes((self.stamp + i) % 256 for i in range(256)) * (size // 256 + 1)
        self.ours.sendall(data[:size])
        while size:
            count = self.portal.append_from_fd(self.theirs.fileno(), asked)
            assert 0 < count <= asked
            self.model += data[:count]
            data = data[count:]
            size -= count
            asked = max(asked, 4096)

    @rule(n=COUNT)
    def cutn(self, n: int) -> None:
        self.keep(self.portal.cutn(n), n)

    @rule(n=COUNT)
    def cut_contiguous(self, n: int) -> None:
        self.keep(self.portal.cut_contiguous(n), n)

    @rule(n=COUNT)
    def pop_front(self, n: int) -> None:
        self.portal.pop_front(n)
        self.model = self.model[n:]

    @rule(n=st.integers(0, 5000))
    def pop_back(self, n: int) -> None:
        self.portal.pop_back(n)
        self.model = self.model[: max(0, len(self.model) - n)]

    @rule()
    def clear(self) -> None:
        self.portal.clear()
        self.model = b""

    @rule()
    def forget_half(self) -> None:
        """Release half of the cut parts, so that their blocks can be reused."""
        del self.kept[::2]

    def keep(self, cut: IOBuf | bytes | memoryview, n: int) -> None:
        self.kept.append((cut, self.model[:n]))
        self.model = self.model[n:]

    @invariant()
    def is_as_the_model(self) -> None:
        assert len(self.portal) == len(self.model)
        assert bytes(self.portal) == self.model
        for cut, expected in self.kept:
            assert cut == expected

    def teardown(self) -> None:
        for sock in (getattr(self, "ours", None), getattr(self, "theirs", None)):
            if sock is not None:
                os.close(sock.detach())


TestPortal = PortalAgainstBytes.TestCase
TestPortal.settings = settings(
    max_examples=min(60, settings.default.max_examples), stateful_step_count=40
)
