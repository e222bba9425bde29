"""AccessLog: its options are checked where they are given."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pybrpc.server.access_log.access_log import AccessLog, checked_access_log


def test_defaults_and_the_option_of_the_server() -> None:
    assert checked_access_log(True) == AccessLog("text", "pybrpc.access", 10_000)
    assert checked_access_log(False) is None
    assert checked_access_log(None) is None
    given = AccessLog(format="json")
    assert checked_access_log(given) is given


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"format": "xml"}, 'format must be "text" or "json", not \'xml\''),
        ({"format": []}, "format must be"),
        ({"max_waiting": 0}, "max_waiting must be a whole number >= 1, not 0"),
    ],
)
def test_wrong_values(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        AccessLog(**options)


def test_wrong_types() -> None:
    with pytest.raises(TypeError, match=r"logger must be a logging.Logger or its name, not 5"):
        AccessLog(logger=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"access_log must be True, False or a pybrpc.AccessLog"):
        checked_access_log("json")
    with pytest.raises(TypeError, match="the class AccessLog: make an object of it"):
        checked_access_log(AccessLog)


def test_logger_by_name_or_itself() -> None:
    logger = logging.Logger("mine")
    assert AccessLog(logger=logger).find_logger() is logger
    assert AccessLog().find_logger() is logging.getLogger("pybrpc.access")
