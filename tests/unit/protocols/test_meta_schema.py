"""message_classes: protobuf classes from tables of fields."""

from __future__ import annotations

from pybrpc.protocols.meta_schema import message_classes

TABLES = {
    "Inner": "sint64 id = 1",
    "Outer": """
        int32 a = 1
        uint64 b = 200
        repeated int64 ids = 3
        Inner inner = 4
        bytes text = 5
        bool flag = 6
    """,
}


def test_fields_travel_by_their_numbers_and_types() -> None:
    classes = message_classes("pybrpc.of_a_test", TABLES)
    assert set(classes) == {"Inner", "Outer"}
    outer = classes["Outer"](
        a=-1, b=2**64 - 1, ids=[1, 2], inner={"id": -1}, text=b"\xff", flag=True
    )
    assert (
        outer.SerializeToString()
        == (
            b"\x08" + b"\xff" * 9 + b"\x01"  # a
            b"\x18\x01\x18\x02"  # ids, one by one as in proto2
            b"\x22\x02\x08\x01"  # inner, whose -1 is zigzag coded
            b"\x2a\x01\xff\x30\x01\xc0\x0c" + b"\xff" * 9 + b"\x01"  # text, flag, b
        )
    )


def test_absent_fields_are_told_from_zeros() -> None:
    made = message_classes("pybrpc.of_a_test", TABLES)["Outer"](a=0)
    assert made.HasField("a")
    assert not made.HasField("flag")


def test_the_same_package_can_be_made_twice() -> None:
    """Each has a pool of its own."""
    one, other = (message_classes("pybrpc.of_a_test", TABLES)["Inner"] for _ in range(2))
    assert one is not other
    assert one(id=3).SerializeToString() == other(id=3).SerializeToString()
