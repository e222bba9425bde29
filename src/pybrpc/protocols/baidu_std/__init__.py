"""baidu_std, the default protocol of bRPC.

A frame is the magic "PRPC", two sizes, a protobuf message (the meta), the body and the attachment.
"""

from __future__ import annotations

from pybrpc.protocols.baidu_std.baidu_std import BaiduStd

__all__ = ["BAIDU_STD", "BaiduStd"]

BAIDU_STD = BaiduStd()
"""The one object that all connections use."""
