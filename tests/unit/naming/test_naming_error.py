"""naming_error: errors of naming services that have no text are errors all the same."""

from __future__ import annotations

import pytest

from pybrpc.errors import NamingError
from pybrpc.naming import NamingUrl
from pybrpc.naming.naming_error import naming_error

URL = NamingUrl("fake", "rest")


class Mute(BaseException):
    """Has no text."""

    def __str__(self) -> str:
        raise SystemExit(1)

    __repr__ = __str__


class MuteNaming(NamingError):
    """A NamingError that has no text."""

    __str__ = Mute.__str__


def raised(error: BaseException) -> BaseException:
    with pytest.raises(type(error)):
        raise error
    return error


def test_naming_error_with_a_text_stays_as_it_is() -> None:
    error = raised(NamingError("gone"))
    assert naming_error(URL, error) is error
    assert error.__traceback__ is None


def test_another_error_is_the_cause() -> None:
    error = raised(ValueError("bad"))
    found = naming_error(URL, error)
    assert str(found) == "fake://rest: ValueError: bad"
    assert found.__cause__ is error
    assert error.__traceback__ is None


@pytest.mark.parametrize("kind", [Mute, MuteNaming])
def test_error_without_a_text_is_named_by_its_class(kind: type[BaseException]) -> None:
    found = naming_error(URL, kind())
    assert str(found) == f"fake://rest: {kind.__name__}"
    assert type(found.__cause__) is kind
