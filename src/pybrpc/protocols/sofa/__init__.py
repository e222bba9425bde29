"""sofa_pbrpc, the protocol of Baidu's sofa-pbrpc.

A frame is the magic "SOFA", three sizes, a protobuf message (the meta) and the body.
"""

from __future__ import annotations

from pybrpc.protocols.sofa.sofa import SofaPbrpc

__all__ = ["SOFA_PBRPC", "SofaPbrpc"]

SOFA_PBRPC = SofaPbrpc()
"""The one object that all connections use."""
