"""One round: calls begin, user code raises in one hook, more calls begin, all are awaited."""

from __future__ import annotations

from tests.raising import (  # noqa: F401  they register their hooks
    callback_hooks,
    client_hooks,
    lifecycle_hooks,
    lowlevel_hooks,
    policy_hooks,
    process_hooks,
    server_hooks,
    stream_hooks,
)
from tests.raising.entries import Entries
from tests.raising.gate import Gate
from tests.raising.site import LIMIT_S, Site
from tests.raising.strike import HOOKS, Strike
from tests.raising.traffic import Traffic, begin_aftermath


def run_round(site: Site, hook: str, kinds: list[str]) -> list[str]:
    """A line for each kind of call that has not ended as it must; none if all is well."""
    entries = Entries()
    site.gate, site.end = Gate(), Gate()
    traffic, strike = Traffic(site, entries), Strike(site, entries, kinds)
    with strike.stack:
        traffic.begin_half()
        traffic.wait_held()
        HOOKS[hook](strike)
        traffic.begin_half()
        site.gate.open()
        for job in strike.later:
            job()
        entries.wait(LIMIT_S)
        if not entries.complaints():
            begin_aftermath(site, entries)
            entries.wait(LIMIT_S)
        early = entries.complaints()
        site.end.open()
    # Once more, for calls that have ended twice.
    return [*(early or entries.complaints()), *site.complaints()]
