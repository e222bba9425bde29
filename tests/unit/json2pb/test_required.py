"""Checks of whole messages."""

from __future__ import annotations

import pytest

from pybrpc.json2pb import MissingFieldError
from pybrpc.json2pb.required import check_required, is_deeper
from tests.protos.json_messages import rich


def test_missing_field_is_named_wherever_it_is() -> None:
    message = rich.Rich(o_int32=1, text_ints={"a": 1})
    check_required(message)
    message.uint_messages[3].r_message.add().inner.add()
    with pytest.raises(MissingFieldError, match=r"^Missing required field: rich\.Inner\.id$") as e:
        check_required(message)
    assert e.value.path == "uint_messages[3].r_message[0].inner[0].id"


@pytest.mark.parametrize("levels", [0, 1, 2, 200])
def test_depth_is_that_of_the_deepest_message(levels: int) -> None:
    message = current = rich.Rich()
    for _ in range(levels):
        current.r_message.add()
        current = current.o_message
    current.o_bool = True
    assert not is_deeper(message, levels)
    assert levels == 0 or is_deeper(message, levels - 1)
