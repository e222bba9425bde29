"""Which tests are a module's own: what is said of it holds, and nothing is left without."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from verification.coverage.groups import GROUPS
from verification.coverage.own_tests import PACKAGE, TESTS, all_modules, name_of, own_tests_of

NAMED = sorted({module for group in GROUPS for module in group.modules})


def names_of(tests: list[Path]) -> set[str]:
    return {str(test.relative_to(TESTS)) for test in tests}


def test_tests_are_found_by_the_name_of_their_module() -> None:
    assert names_of(own_tests_of(PACKAGE / "base" / "deadline.py")) == {
        "unit/base/test_deadline.py"
    }


def test_tests_in_a_folder_above_and_properties_are_found_too() -> None:
    found = own_tests_of(PACKAGE / "testing" / "faulty_proxy" / "random_faults.py")
    assert names_of(found) == {"unit/testing/test_random_faults.py"}
    found = own_tests_of(PACKAGE / "protocols" / "baidu_std" / "fast_frames.py")
    assert names_of(found) == {"property/test_fast_frames.py"}


def test_tests_whose_names_begin_with_that_of_the_module_are_found_too() -> None:
    call = PACKAGE / "client" / "calls" / "call.py"
    found = names_of(own_tests_of(call))
    assert "unit/client/calls/test_call_unreachable.py" in found
    assert call.with_name("call_options.py").exists()
    assert "unit/client/calls/test_call_options.py" not in found


def test_tests_of_another_folder_are_not() -> None:
    client, server = "unit/client/endpoints/test_settings.py", "unit/server/test_settings.py"
    found = names_of(own_tests_of(PACKAGE / "client" / "endpoints" / "settings.py"))
    assert client in found
    assert server not in found
    assert server in names_of(own_tests_of(PACKAGE / "server" / "settings.py"))


@pytest.mark.parametrize("module", NAMED)
def test_module_that_is_named_otherwise_is_there(module: str) -> None:
    assert (PACKAGE / module).exists()
    assert own_tests_of(PACKAGE / module)


def test_every_group_says_why() -> None:
    assert all(group.reason and group.tests for group in GROUPS)


@pytest.mark.parametrize("module", all_modules(), ids=name_of)
def test_module_without_tests_has_nothing_to_test(module: Path) -> None:
    if not own_tests_of(module):
        assert functions_that_do_something(module) == []


def functions_that_do_something(module: Path) -> list[str]:
    """Those with more than a docstring, `...` or `raise NotImplementedError` in them."""
    found = [node for node in ast.walk(ast.parse(module.read_text())) if is_function(node)]
    return [node.name for node in found if not all(map(is_nothing, node.body))]  # type: ignore[attr-defined]


def is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def is_nothing(statement: ast.stmt) -> bool:
    is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_text or isinstance(statement, ast.Raise | ast.Pass)
