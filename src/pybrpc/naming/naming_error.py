"""naming_error: what went wrong with a naming service, as a NamingError."""

from __future__ import annotations

from pybrpc.base.guard import safe_str
from pybrpc.errors import NamingError
from pybrpc.naming.naming_url import NamingUrl


def naming_error(url: NamingUrl, error: BaseException) -> NamingError:
    """`error`, if it is one that has a text; else it is the cause. Never raises.

    The frames of a traceback would keep what they refer to, such as sockets: there is none.
    """
    text = safe_str(error)
    if isinstance(error, NamingError) and text is not None:
        return error.with_traceback(None)
    name = type(error).__name__
    found = NamingError(f"{url}: {name}" if text is None else f"{url}: {name}: {text}")
    found.__cause__ = error.with_traceback(None)
    return found
