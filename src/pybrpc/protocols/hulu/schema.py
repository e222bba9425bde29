"""The metas of hulu_pbrpc, as tables and as protobuf classes.

The tables have the field numbers of bRPC 1.17: src/brpc/policy/hulu_pbrpc_meta.proto.
`meta_schema` says how they differ from that file. Fields that nothing here reads are left out:
chuck_info, the talk types, user_data and user_defined_source_addr.
"""

from __future__ import annotations

from typing import Any

from pybrpc.protocols.meta_schema import message_classes

_MESSAGES: dict[str, str] = {
    "HuluRpcRequestMeta": """
        bytes service_name = 1
        int32 method_index = 2
        int32 compress_type = 3
        int64 correlation_id = 4
        int64 log_id = 5
        int64 trace_id = 7
        int64 parent_span_id = 8
        int64 span_id = 9
        int32 user_message_size = 12
        bytes method_name = 14
        bytes credential_data = 15
    """,
    "HuluRpcResponseMeta": """
        int32 error_code = 1
        bytes error_text = 2
        sint64 correlation_id = 3
        int32 compress_type = 4
        int32 user_message_size = 8
    """,
}

_classes = message_classes("pybrpc.hulu_pbrpc", _MESSAGES)

HuluRpcRequestMeta: Any = _classes["HuluRpcRequestMeta"]
HuluRpcResponseMeta: Any = _classes["HuluRpcResponseMeta"]
