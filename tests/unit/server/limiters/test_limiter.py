"""Limiter and ConstantLimiter."""

from __future__ import annotations

from pybrpc.server.limiters.limiter import ConstantLimiter, Limiter


def test_constant_limit_admits_exactly_so_many_and_learns_nothing() -> None:
    limiter = ConstantLimiter(2)
    assert [limiter.admits(n, 0, 0.0) for n in (1, 2, 3)] == [True, True, False]
    assert (limiter.learns, limiter.name, limiter.describe(9)) == (False, "constant", "2")
    assert repr(limiter) == "<ConstantLimiter 2>"


def test_base_admits_everything() -> None:
    limiter = Limiter("none", False)
    limiter.on_end(0.0, 0.0, 1, 0)
    assert limiter.admits(1 << 40, 0, 0.0)
    assert limiter.describe(0) == "0 (none)"
