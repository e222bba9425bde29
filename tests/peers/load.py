"""How much the stress tests do: all of it, or the share that PYBRPC_STRESS says.

What slows threads down tenfold, such as ThreadSanitizer, needs less to see what it is after.
"""

from __future__ import annotations

import os

SHARE = float(os.environ.get("PYBRPC_STRESS") or 1)


def share_of(count: int) -> int:
    """`count`, or less of it; at least 1."""
    return max(1, round(count * SHARE))
