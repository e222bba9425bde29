"""/loggers and /vlog: which loggers are shown, and what a POST may change."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from pybrpc.builtin.process import loggers_page
from tests.fakes.profiles import HOSTILE, ask, text_of

NAME = "tests.loggers_page"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger(NAME)
    yield logger
    logger.setLevel(logging.NOTSET)
    logger.disabled = False
    logging.Logger.manager.loggerDict.pop(NAME)


def lines_with(name: str, url: str = "/vlog") -> list[str]:
    return [line for line in text_of(ask(url)).splitlines() if line.startswith(f"{name} :")]


def test_loggers_are_listed_with_the_level_that_counts(logger: logging.Logger) -> None:
    effective = logging.getLevelName(logger.getEffectiveLevel())
    assert lines_with(NAME) == [f"{NAME} : {effective} (own level NOTSET)"]
    logger.setLevel(logging.ERROR)
    logger.disabled = True
    assert lines_with(NAME) == [f"{NAME} : ERROR (disabled)"]
    assert len(lines_with("root")) == 1


def test_patterns_choose(logger: logging.Logger) -> None:
    assert text_of(ask("/loggers/tests.loggers_*")).count("\n") == 1
    assert text_of(ask(f"/loggers/{NAME};root")).count("\n") == 2
    assert text_of(ask("/loggers/" + "*" * 5000)).startswith("patterns have at most")


@pytest.mark.parametrize(
    ("level", "number"),
    [("DEBUG", 10), ("critical", 50), (" 15 ", 15), ("0", 0), ("NOTSET", 0)],
)
def test_a_post_changes_a_level(logger: logging.Logger, level: str, number: int) -> None:
    response = ask("/vlog", method="POST", body=f"logger={NAME}&level={quote(level)}")
    assert (response.status, text_of(response)) == (
        200,
        f"{NAME} : {logging.getLevelName(number)}\n",
    )
    assert logger.level == number


def test_a_form_leads_back_to_the_page(logger: logging.Logger) -> None:
    response = ask("/loggers", method="POST", body=f"logger={NAME}&level=INFO", html=True)
    assert (response.status, response.headers["Location"]) == (303, "/loggers")
    assert logger.level == logging.INFO


@pytest.mark.parametrize("level", ["", "LOUD", "-1", "1001", "1.5", "²", "9" * 5000, HOSTILE])
def test_a_wrong_level_is_refused(logger: logging.Logger, level: str) -> None:
    body = f"logger={NAME}&level={quote(level, errors='replace')}"
    assert ask("/vlog", method="POST", body=body).status == 400
    assert logger.level == logging.NOTSET


def test_no_logger_is_made() -> None:
    before = set(logging.Logger.manager.loggerDict)
    for name in ("tests.not_there", "tests", ""):
        body = f"logger={name}&level=DEBUG"
        assert ask("/vlog", method="POST", body=body).status == 404
    assert set(logging.Logger.manager.loggerDict) == before


def test_get_changes_nothing(logger: logging.Logger) -> None:
    assert ask(f"/vlog?logger={NAME}&level=DEBUG&setvalue=DEBUG").status == 200
    assert logger.level == logging.NOTSET


class Hostile(logging.Logger):
    """A class of the user whose attributes raise."""

    is_hostile = False

    def getEffectiveLevel(self) -> int:
        raise KeyboardInterrupt

    def setLevel(self, level: int | str) -> None:
        if self.is_hostile:
            raise KeyboardInterrupt
        super().setLevel(level)

    @property
    def handlers(self) -> list[logging.Handler]:  # type: ignore[override]
        if self.is_hostile:
            raise KeyboardInterrupt
        return []

    @handlers.setter
    def handlers(self, handlers: list[logging.Handler]) -> None:
        pass


def test_a_logger_of_the_user_may_raise_anything() -> None:
    logger = Hostile("tests.hostile")
    logger.is_hostile = True
    logging.Logger.manager.loggerDict["tests.hostile"] = logger
    try:
        assert lines_with("tests.hostile") == [
            "tests.hostile : (unreadable)",
        ]
        ask("/vlog", method="POST", body="logger=tests.hostile&level=DEBUG")
        assert logger.level == logging.DEBUG
    finally:
        del logging.Logger.manager.loggerDict["tests.hostile"]


def test_names_are_escaped() -> None:
    name = f"tests.{HOSTILE}\n"
    logging.Logger.manager.loggerDict[name] = logging.Logger(name)
    try:
        assert "<script" not in text_of(ask("/vlog", html=True))
        assert len(lines_with(r"tests.<script>alert(\"1\")</script>&'\x00\ud800\n")) <= 1
        assert "\x00" not in text_of(ask("/vlog"))
    finally:
        del logging.Logger.manager.loggerDict[name]


def test_the_list_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loggers_page, "MAX_LOGGERS", 1)
    assert text_of(ask("/vlog")).splitlines()[1].endswith("more are not shown")
    assert "more are not shown" in text_of(ask("/vlog", html=True))
