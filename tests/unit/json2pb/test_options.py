"""JsonOptions: bRPC's defaults; wrong values are refused where they are given."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.json2pb import JsonOptions


def test_defaults_are_those_of_brpc() -> None:
    options = JsonOptions()
    assert options.pb_bytes_to_base64
    assert not options.pb_enum_as_number
    assert options.json2pb_max_recursion_depth == 100


@pytest.mark.parametrize("value", [0, 1, "yes", None])
def test_flag_must_be_a_flag(value: Any) -> None:
    with pytest.raises(TypeError, match="jsonify_empty_array must be True or False"):
        JsonOptions(jsonify_empty_array=value)


@pytest.mark.parametrize("value", [0, 101, True, 1.0])
def test_depth_must_be_a_count(value: Any) -> None:
    with pytest.raises(ValueError, match="json2pb_max_recursion_depth must be"):
        JsonOptions(json2pb_max_recursion_depth=value)
