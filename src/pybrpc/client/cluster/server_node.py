"""ServerNode, by the name that clusters use."""

from __future__ import annotations

from pybrpc.naming.server_node import ServerNode as ServerNode
