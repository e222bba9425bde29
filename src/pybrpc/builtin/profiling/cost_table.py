"""The most expensive functions of a profile, as text for curl and as rows for a table."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pybrpc.base.guard import escaped
from pybrpc.builtin.profiling.call_tree import costs_of_functions
from pybrpc.builtin.profiling.profile import Profile, shown_value

MAX_ROWS = 100


@dataclass(frozen=True, slots=True)
class CostRow:
    """A function with its costs, all for people."""

    own: str
    own_share: str
    total: str
    total_share: str
    change: str
    """Against the base, of `total`; "" without one."""
    function: str
    file: str


def cost_rows(profile: Profile, base: Profile | None = None) -> list[CostRow]:
    """At most `MAX_ROWS`: those that cost most by themselves; compared with a base, those that
    have changed most."""
    unit, whole = profile.unit, profile.whole
    costs = list(costs_of_functions(profile, base).values())
    if base is None:
        costs.sort(key=lambda cost: (-cost.own, -cost.total, cost.name))
    else:
        costs.sort(key=lambda cost: (-abs(cost.own - cost.base_own), -cost.total, cost.name))
    return [
        CostRow(
            shown_value(cost.own, unit),
            share(cost.own, whole),
            shown_value(cost.total, unit),
            share(cost.total, whole),
            "" if base is None else with_sign(cost.own - cost.base_own, unit),
            *cost.name,
        )
        for cost in costs[:MAX_ROWS]
    ]


def share(value: float, whole: float) -> str:
    """A part of the whole, such as "12.50%"."""
    return f"{100 * value / whole:.2f}%" if whole else "0.00%"


def with_sign(value: float, unit: str) -> str:
    """A difference."""
    return ("+" if value > 0 else "") + shown_value(value, unit)


def heading(profile: Profile) -> list[str]:
    """Lines about the profile itself."""
    taken = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(profile.taken_at_s))
    lasted = f", {profile.duration_s:.1f} s long" if profile.duration_s else ""
    whole = shown_value(profile.total, profile.unit)
    return [f"{profile.kind} profile of {taken}{lasted}: {whole} in all", *profile.notes]


def cost_text(profile: Profile, base: Profile | None = None) -> str:
    """The table as text, in the form of `pprof -top`."""
    lines = [*heading(profile)]
    if base is not None:
        lines.append(f"compared with: {heading(base)[0]}")
    change = f" {'change':>12}" if base is not None else ""
    lines.append(f"{'flat':>12} {'flat%':>8} {'cum':>12} {'cum%':>8}{change}  function")
    for row in cost_rows(profile, base):
        change = f" {row.change:>12}" if base is not None else ""
        where = f" {row.file}" if row.file else ""
        costs = f"{row.own:>12} {row.own_share:>8} {row.total:>12} {row.total_share:>8}"
        lines.append(f"{costs}{change}  {escaped(row.function + where)}")
    return "\n".join(lines) + "\n"
