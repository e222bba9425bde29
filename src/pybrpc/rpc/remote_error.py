"""remote_error: the RpcError for a response that is an error, with the bare text of the handler."""

from __future__ import annotations

import re

from pybrpc.errors import Phase, RpcError, make_rpc_error

_SERVER = r"\[(?:\[[0-9A-Fa-f:.%\w]+\]:\d+|[^\[\]\s:]+:\d+|unix:[^\[\]\n]*)\]"
"""The address that a server puts before a text: "[10.0.0.7:8000]"."""
_MARK = re.compile(rf"^({_SERVER})?(?:\[E-?\d+\])?")


def remote_error(code: int, text: str, peer: str) -> RpcError:
    """The RpcError for a response that is an error; `text` is the one in it."""
    error = make_rpc_error(code, text, phase=Phase.SERVER, peer=peer, is_remote=True)
    error.message = bare_text(text)
    error.remote_text = text
    return error


def bare_text(text: str) -> str:
    """`text` of a response without what `Controller::SetFailed` of the server has put before it:
    its address, and a code. A handler that has set several texts has set them apart by a blank.
    """
    mark = _MARK.match(text)
    assert mark is not None
    server = mark.group(1)
    bare = text[mark.end() :]
    if server is None or server not in bare:
        return bare
    return re.sub(rf"(?<=\s){re.escape(server)}(?:\[E-?\d+\])?", "", bare)
