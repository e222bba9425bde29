from __future__ import annotations

import subprocess
import sys

import pytest

from pybrpc.protocols.baidu_std.schema import RpcMeta


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (
            "",
            "1 request, 2 response, 3 compress_type, 4 correlation_id, 5 attachment_size, "
            "7 authentication_data, 8 stream_settings, 9 user_fields, 10 content_type, "
            "11 checksum_type, 12 checksum_value, 13 checksum_with_attachment",
        ),
        (
            "request",
            "1 service_name, 2 method_name, 3 log_id, 4 trace_id, 5 span_id, 6 parent_span_id, "
            "7 request_id, 8 timeout_ms",
        ),
        ("response", "1 error_code, 2 error_text"),
        ("stream_settings", "1 stream_id, 2 need_feedback, 3 writable, 4 extra_stream_ids"),
        ("user_fields", "1 key, 2 value"),
    ],
)
def test_field_numbers_are_those_of_brpc(path: str, fields: str) -> None:
    message = RpcMeta.DESCRIPTOR
    if path:
        message = message.fields_by_name[path].message_type
    assert ", ".join(f"{field.number} {field.name}" for field in message.fields) == fields


def test_pybrpc_does_not_import_the_schema() -> None:
    program = (
        "import sys, pybrpc, pybrpc.aio; print('pybrpc.protocols.baidu_std.schema' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == "False\n"
