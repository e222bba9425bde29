"""baidu_std, the default protocol of bRPC: "PRPC", two sizes, a protobuf meta, the payload."""

from __future__ import annotations

from pybrpc.protocols.baidu_std.baidu_std import BaiduStd

__all__ = ["BaiduStd"]
