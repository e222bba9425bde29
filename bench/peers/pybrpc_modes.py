"""Whether pybrpc is compiled here, and how to have it in plain Python nevertheless."""

from __future__ import annotations

PLAIN_ENVIRONMENT = {"PYBRPC_IMPL": "python"}


def implementation() -> str:
    """ "python" or "compiled"."""
    import pybrpc  # the processes of other libraries don't need it

    return str(getattr(pybrpc, "__impl__", "python"))


def why_not_plain() -> str:
    return "pybrpc is plain Python here anyway" if implementation() == "python" else ""
