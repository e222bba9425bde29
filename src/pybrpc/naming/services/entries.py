"""Entries of etcd and ZooKeeper: a name and a value for each server."""

from __future__ import annotations

import json
from typing import Any

from pybrpc.errors import AddressError
from pybrpc.naming.server_lists import ServerListBuilder, split_line
from pybrpc.naming.server_node import ServerNode
from pybrpc.naming.wire.json_fields import field_or, number_or

ADDRESS_FIELDS = ("address", "addr", "Addr")
"""`Addr` is that of etcd's own clients in Go (clientv3/naming)."""


def add_entry(builder: ServerListBuilder, name: str, value: bytes) -> None:
    """Add the server of one entry. It is written in one of three ways:

    "10.0.0.1:8000"  value "3 zone=a"                       the name is the address, the value a tag
    any name         value "10.0.0.1:8000 3 zone=a"         a line, as in a file
    any name         value {"address": "10.0.0.1:8000", "weight": 3, "zone": "a", "tag": "..."}
    """
    try:
        text = value.decode("utf-8").strip()
    except UnicodeDecodeError:
        builder.skip(f"the value of {name!r} is no text")
        return
    if text.startswith("{"):
        _add_json(builder, name, text)
    elif _is_address(name):
        builder.add(name, text)
    elif (line := split_line(text)) is not None:
        builder.add(*line)
    else:
        builder.skip(f"the entry {name!r} has no address")


def _add_json(builder: ServerListBuilder, name: str, text: str) -> None:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        builder.skip(f"the value of {name!r} is no JSON")
        return
    addresses = [field_or(found, key, "") for key in ADDRESS_FIELDS]
    builder.add(
        next(filter(None, addresses), name),
        field_or(found, "tag", ""),
        number_or(found, "weight", 1.0),
        field_or(found, "zone", ""),
    )


def _is_address(name: str) -> bool:
    try:
        ServerNode.parse(name)
    except AddressError:
        return False
    return True
