"""Names of methods as attributes of generated classes."""

from __future__ import annotations

import keyword

from hypothesis import given
from hypothesis import strategies as st

from pybrpc.rpc.attribute_names import RESERVED, attribute_names

NAMES = st.one_of(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,3}", fullmatch=True),
    st.sampled_from([*keyword.kwlist, *RESERVED, "import_", "import__", "__init__", "rpc__init__"]),
)


def test_name_that_can_be_an_attribute_stays() -> None:
    assert attribute_names(["Echo", "_x", "match"]) == {
        "Echo": "Echo",
        "_x": "_x",
        "match": "match",
    }


def test_keyword_gets_an_underscore() -> None:
    assert attribute_names(["import"]) == {"import": "import_"}


def test_name_that_is_taken_gets_another_underscore() -> None:
    assert attribute_names(["import", "import_"]) == {"import": "import__", "import_": "import_"}


def test_name_of_the_library_gets_an_underscore() -> None:
    assert attribute_names(["SERVICE"]) == {"SERVICE": "SERVICE_"}


def test_other_names_may_be_reserved() -> None:
    found = attribute_names(["calls", "calls_", "SERVICE"], {"calls"})
    assert found == {"calls": "calls__", "calls_": "calls_", "SERVICE": "SERVICE"}


def test_name_that_a_class_would_change_gets_a_prefix() -> None:
    assert attribute_names(["__x", "__init__"]) == {"__x": "rpc__x", "__init__": "rpc__init__"}


@given(st.lists(NAMES, unique=True))
def test_every_method_has_an_attribute_of_its_own(names: list[str]) -> None:
    found = attribute_names(names)
    assert list(found) == names
    assert len(set(found.values())) == len(names)
    for attribute in found.values():
        assert attribute.isidentifier()
        assert not keyword.iskeyword(attribute)
        assert not attribute.startswith("__")
        assert attribute not in RESERVED
