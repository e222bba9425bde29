"""The name of a stream, and the parameters behind it: "stream?key=secret".

Publishers and players often prove with the parameters that they may come, and a client that pushes
to another server has the key of that one in them. So no text of an error, no line of a log and no
repr shows them: only the bare name.
"""

from __future__ import annotations


def bare_name_of(name: str) -> str:
    """The name without the parameters behind "?"."""
    return name.partition("?")[0]


def query_of(name: str) -> str:
    """The parameters behind the name; "" without them."""
    return name.partition("?")[2]
