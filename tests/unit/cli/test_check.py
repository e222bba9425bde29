"""pybrpc check: what it finds, and what is required."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

import pybrpc
from pybrpc.cli import check
from pybrpc.cli.main import main

pytestmark = pytest.mark.same_everywhere

ROOT = Path(__file__).parents[3]
FOR_DEVELOPERS = {
    *("bench", "build", "coverage", "demo", "dev", "docs", "fuzz"),
    *("mutation", "pyright", "soak", "test", "threads"),
}


def test_extras_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for name, distributions in check.EXTRAS.items():
        assert [re.split("[>=<;]", each)[0] for each in extras[name]] == list(distributions)
    assert set(extras) - FOR_DEVELOPERS == set(check.EXTRAS)


def test_facts_are_those_of_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["form"] == pybrpc.__impl__
    assert found["pybrpc"] == pybrpc.__version__
    if pybrpc.__impl__ == "compiled":
        assert found["compiled_modules"] == found["hot_modules"] > 0
    assert Path(found["path"]) == Path(pybrpc.__file__).parent
    assert found["missing"] == []
    assert set(found["extras"]) == set(check.EXTRAS)


def test_people_get_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    text = capsys.readouterr().out
    assert re.search(rf"^form +{pybrpc.__impl__}; ", text, re.MULTILINE)
    assert re.search(r"^protobuf +\d", text, re.MULTILINE)
    assert all(re.search(rf"^  {name} ", text, re.MULTILINE) for name in check.EXTRAS)


def test_missing_requirement_is_a_failure_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(check.EXTRAS, "json", ("no-such-distribution",))
    assert main(["check", "--require", "json"]) == 1
    assert 'pip install "pybrpc[json]"' in capsys.readouterr().err
    assert main(["check", "--require", "json", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["missing"] == ["json"]


def test_unknown_requirement_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--require", "gold"]) == 2
    assert "must be one of compiled, asgi" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("compiler", "headers", "text"),
    [
        (None, True, "no C compiler"),
        ("/usr/bin/cc", False, "Python.h is missing"),
        ("/usr/bin/cc", True, "can be compiled here, with /usr/bin/cc"),
    ],
)
def test_compiling_needs_a_compiler_and_headers(
    compiler: str | None, headers: bool, text: str
) -> None:
    assert text in check.compiling_text(compiler, headers)


@pytest.mark.parametrize("command", ["no-such-compiler -O2", "'", " "])
def test_compiler_that_is_not_there(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("CC", command)
    assert check.compiler() is None
