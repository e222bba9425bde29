from __future__ import annotations

from pybrpc.protocols.sofa.schema import SofaRpcMeta


def test_field_numbers_are_those_of_brpc() -> None:
    fields = (
        "1 type, 2 sequence_id, 100 method, 200 failed, 201 error_code, 202 reason, "
        "300 compress_type"
    )
    found = SofaRpcMeta.DESCRIPTOR.fields
    assert ", ".join(f"{field.number} {field.name}" for field in found) == fields
