"""hulu_pbrpc, an older protocol of Baidu: methods are found by their place in the service.

A frame is the magic "HULU", two sizes, a protobuf message (the meta), the body and the attachment.
Requests and responses have different metas.
"""

from __future__ import annotations

from pybrpc.protocols.hulu.hulu import HuluPbrpc

__all__ = ["HULU_PBRPC", "HuluPbrpc"]

HULU_PBRPC = HuluPbrpc()
"""The one object that all connections use."""
