"""A fault that depends on time does not show in each run, on each machine.

So a test that is expected to fail and passes runs again: only one that passes every time counts as
mended.
"""

from __future__ import annotations

import pytest

RUNS = 4
"""The number of runs in which a fault may show."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    if not is_expected_to_fail(pyfuncitem) or "tmp_path" in arguments:
        return None
    for _ in range(RUNS):
        pyfuncitem.obj(**arguments)
    return True


def is_expected_to_fail(item: pytest.Function) -> bool:
    """Whether a mark `xfail` applies, whose first argument, if any, is its condition."""
    return any(not mark.args or mark.args[0] for mark in item.iter_markers("xfail"))
