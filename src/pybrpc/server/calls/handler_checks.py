"""Checks of the object that serves a service, when it is added to a server.

A mistake that can be seen then must not become an error of each call: the class instead of an
object, a plain function that returns a coroutine nobody awaits, a generator for all methods.
"""

from __future__ import annotations

import ast
import collections.abc
import inspect
import textwrap
import types
import typing
from collections.abc import Callable
from typing import Any

from pybrpc.base.checked_options import why_not_called

_AWAITABLE = (collections.abc.Awaitable, types.CoroutineType)


def check_is_object(impl: object, full_name: str, names: list[str]) -> None:
    """TypeError if `impl` is a class whose methods `names` need an object.

    Static methods, class methods and those of a metaclass need none.
    """
    if not isinstance(impl, type):
        return
    for name in names:
        found = inspect.getattr_static(impl, name, None)
        if inspect.isfunction(found):
            raise TypeError(
                f"{impl.__name__} can't serve {full_name}: it is the class, and its method {name} "
                f"needs an object; pass {impl.__name__}(...)"
            )


def check_handler(impl: object, name: str, handler: Callable[..., Any]) -> None:
    """TypeError if `handler` certainly takes other arguments, or returns something that is no
    response."""
    _check_function(f"{name} of {_name_of(impl)}", name, handler, may_yield=True)


def check_generic_handler(handler: object) -> None:
    """TypeError if `handler` can't serve a generic service."""
    if isinstance(handler, type):
        raise TypeError(f"the handler is the class {handler.__name__}: make an object of it")
    if not callable(handler):
        raise TypeError(
            f"the handler must be a function of a request and a controller: {handler!r}"
        )
    name = getattr(handler, "__qualname__", _name_of(handler))
    _check_function(name, name, handler)


def _check_function(
    where: str, name: str, handler: Callable[..., Any], may_yield: bool = False
) -> None:
    function = _function_of(handler)
    if function is None:
        return
    mismatch = why_not_called(handler, "request", "controller")
    if mismatch:
        raise TypeError(f"{where} is called as {name}(request, controller): {mismatch}")
    if inspect.iscoroutinefunction(handler):
        return
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        if may_yield:
            return
        raise TypeError(f"{where} is a generator: return one response, don't yield")
    if inspect.iscoroutinefunction(function):
        return
    called = _returned_coroutine(function, handler)
    if called or _is_annotated_awaitable(function):
        reason = f"of {called}()" if called else "or another awaitable, by its annotation"
        raise TypeError(
            f"{where} is a plain function that returns the coroutine {reason}, which nobody would "
            "await: make it an `async def`, and await there"
        )


def _function_of(handler: Callable[..., Any]) -> types.FunctionType | None:
    """The function that is called; `None` if it is not one of Python code."""
    function: Any = handler
    if isinstance(function, types.MethodType):
        function = function.__func__
    return function if isinstance(function, types.FunctionType) else None


def _is_annotated_awaitable(function: types.FunctionType) -> bool:
    if hasattr(function, "__wrapped__"):
        return False  # the annotations are those of the function that it wraps
    try:
        result = typing.get_type_hints(function).get("return")
    except Exception:
        return False  # a name that exists for type checkers alone
    kind = typing.get_origin(result) or result
    return isinstance(kind, type) and issubclass(kind, _AWAITABLE)


def _returned_coroutine(function: types.FunctionType, handler: Any) -> str:
    """The name of the async function whose coroutine a `return` of `function` returns; "" if there
    is none that is certain."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function.__code__)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return ""  # compiled, made by exec, or a lambda amid a longer line
    for expression in _returned_by(tree):
        if isinstance(expression, ast.Call):
            called = _resolved(expression.func, function, handler)
            if isinstance(called, staticmethod | classmethod):
                called = called.__func__
            if inspect.iscoroutinefunction(called):
                return ast.unparse(expression.func)
    return ""


def _returned_by(tree: ast.Module) -> list[ast.expr]:
    """The values that the function itself returns, not the functions inside of it. Nothing if it
    is not clear which of several lambdas it is.

    In place of a variable that is assigned once: what is assigned to it.
    """
    (node, *_) = tree.body
    if not isinstance(node, ast.FunctionDef):
        lambdas = [part for part in ast.walk(node) if isinstance(part, ast.Lambda)]
        return [lambdas[0].body] if len(lambdas) == 1 else []
    found: list[ast.expr] = []
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        part = waiting.pop()
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(part, ast.Return) and part.value is not None:
            found.append(_assigned(part.value, node))
        waiting.extend(ast.iter_child_nodes(part))
    return found


def _assigned(value: ast.expr, node: ast.FunctionDef) -> ast.expr:
    """The expression assigned to the variable `value`, if that is certain, else `value`."""
    if not isinstance(value, ast.Name):
        return value
    name = value.id
    assigned: list[ast.expr] = []
    bindings = 0
    for part in ast.walk(node):
        if isinstance(part, ast.Assign | ast.AnnAssign) and part.value is not None:
            targets = part.targets if isinstance(part, ast.Assign) else [part.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                assigned.append(part.value)
        bindings += _is_bound_by(part, name)
    return assigned[0] if len(assigned) == bindings == 1 else value


def _is_bound_by(part: ast.AST, name: str) -> bool:
    """Whether `part` may give the variable another value; for an inner variable too."""
    if isinstance(part, ast.Name):
        return part.id == name and not isinstance(part.ctx, ast.Load)
    if isinstance(part, ast.arg):
        return part.arg == name
    # An `except`, an import, a pattern, an inner function; `global` and `nonlocal`.
    named = [getattr(part, field, None) for field in ("name", "asname", "rest")]
    return name in named or name in getattr(part, "names", ())


def _resolved(called: ast.expr, function: types.FunctionType, handler: Any) -> Any:
    """The object that `name`, `self.name` or `name.of.another` means in `function`; `None` if that
    is not certain. No code of the user runs."""
    if isinstance(called, ast.Attribute):
        owner = _resolved(called.value, function, handler)
        return None if owner is None else _attribute(owner, called.attr)
    if not isinstance(called, ast.Name):
        return None
    code = function.__code__
    if code.co_argcount and called.id == code.co_varnames[0]:
        return getattr(handler, "__self__", None)
    if called.id in code.co_varnames or called.id in code.co_cellvars:
        return None
    if called.id in code.co_freevars and function.__closure__ is not None:
        cell = function.__closure__[code.co_freevars.index(called.id)]
        try:
            return cell.cell_contents
        except ValueError:
            return None
    return function.__globals__.get(called.id)


def _attribute(owner: object, name: str) -> Any:
    """The attribute as it is stored; `None` if reading it would run code, as of a property."""
    found = inspect.getattr_static(owner, name, None)
    if isinstance(found, types.MemberDescriptorType):  # of `__slots__`
        try:
            return found.__get__(owner, type(owner))
        except (AttributeError, TypeError):  # not set; of another class
            return None
    is_function = isinstance(found, types.FunctionType | staticmethod | classmethod)
    return found if is_function or not _is_descriptor(found) else None


def _is_descriptor(found: object) -> bool:
    return inspect.getattr_static(type(found), "__get__", None) is not None


def _name_of(impl: object) -> str:
    return impl.__name__ if isinstance(impl, type) else type(impl).__name__
