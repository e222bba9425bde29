from __future__ import annotations

from typing import Any

import pytest

from pybrpc.protocols.hulu.schema import HuluRpcRequestMeta, HuluRpcResponseMeta


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (
            HuluRpcRequestMeta,
            "1 service_name, 2 method_index, 3 compress_type, 4 correlation_id, 5 log_id, "
            "7 trace_id, 8 parent_span_id, 9 span_id, 12 user_message_size, 14 method_name, "
            "15 credential_data",
        ),
        (
            HuluRpcResponseMeta,
            "1 error_code, 2 error_text, 3 correlation_id, 4 compress_type, 8 user_message_size",
        ),
    ],
)
def test_field_numbers_are_those_of_brpc(message: Any, fields: str) -> None:
    found = message.DESCRIPTOR.fields
    assert ", ".join(f"{field.number} {field.name}" for field in found) == fields
