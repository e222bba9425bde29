"""SofaRpcMeta, the meta of sofa_pbrpc, as a table and as a protobuf class.

The table has the field numbers of bRPC 1.17: src/brpc/policy/sofa_pbrpc_meta.proto. `meta_schema`
says how it differs from that file. Left out is expected_response_compress_type, which bRPC does not
read either.
"""

from __future__ import annotations

from typing import Any

from pybrpc.protocols.meta_schema import message_classes

REQUEST, RESPONSE = 0, 1
"""Values of `type`."""

_MESSAGES: dict[str, str] = {
    "SofaRpcMeta": """
        int32 type = 1
        uint64 sequence_id = 2
        bytes method = 100
        bool failed = 200
        int32 error_code = 201
        bytes reason = 202
        int32 compress_type = 300
    """,
}

SofaRpcMeta: Any = message_classes("pybrpc.sofa_pbrpc", _MESSAGES)["SofaRpcMeta"]
"""The message class."""
