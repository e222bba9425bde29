"""Mistakes in the object that serves a service, found without a call."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from typing import Any

import pytest

from pybrpc.server.calls.handler_checks import (
    check_generic_handler,
    check_handler,
    check_is_object,
)


async def respond(request: Any, controller: Any) -> str:
    return "response"


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return function(*arguments)

    return call


def run_to_the_end(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return asyncio.run(function(*arguments))

    return call


class Helper:
    async def run(self, request: Any) -> str:
        return "response"

    @staticmethod
    async def static(request: Any) -> str:
        return "response"

    def plain(self, request: Any) -> str:
        return "response"


class Slotted:
    __slots__ = ("helper",)

    def __init__(self) -> None:
        self.helper = Helper()


class Wrong:
    def __init__(self) -> None:
        self.helper = Helper()
        self.slotted = Slotted()

    def of_self(self, request: Any, controller: Any) -> Any:
        if controller is None:
            return "nothing"
        return self._respond(request, controller)

    def of_module(self, request: Any, controller: Any) -> Any:
        return respond(request, controller)

    def annotated(self, request: Any, controller: Any) -> Coroutine[Any, Any, str]:
        made = respond(request, controller)
        return made

    def awaitable(self, request: Any, controller: Any) -> Awaitable[str]:
        return asyncio.ensure_future(respond(request, controller))

    @traced
    async def decorated(self, request: Any, controller: Any) -> str:
        return "response"

    def by_variable(self, request: Any, controller: Any) -> Any:
        made = self._respond(request, controller)
        return made

    def by_annotated_variable(self, request: Any, controller: Any) -> Any:
        made: Any = respond(request, controller)
        if controller is None:
            return "nothing"
        return made

    def of_helper(self, request: Any, controller: Any) -> Any:
        return self.helper.run(request)

    def of_helper_in_a_slot(self, request: Any, controller: Any) -> Any:
        return self.slotted.helper.run(request)

    def of_a_static_method(self, request: Any, controller: Any) -> Any:
        return self.helper.static(request)

    def of_a_class(self, request: Any, controller: Any) -> Any:
        return Helper.static(request)

    def of_asyncio(self, request: Any, controller: Any) -> Any:
        return asyncio.sleep(0)

    function = staticmethod(lambda request, controller: respond(request, controller))

    async def _respond(self, request: Any, controller: Any) -> str:
        return "response"


class Right:
    def __init__(self) -> None:
        self.helper = Helper()
        self._late = self.text

    async def _late(self, request: Any) -> str:  # type: ignore[no-redef]
        return "response"

    @property
    def _made(self) -> Helper:
        raise NotImplementedError

    def of_helper(self, request: Any, controller: Any) -> str:
        return self.helper.plain(request)

    def of_property(self, request: Any, controller: Any) -> Any:
        return self._made.run(request)

    def of_nothing(self, request: Any, controller: Any) -> Any:
        return self.missing.run(request)  # type: ignore[attr-defined]

    def of_an_attribute_that_hides_a_method(self, request: Any, controller: Any) -> Any:
        return self._late(request)

    def assigned_twice(self, request: Any, controller: Any) -> Any:
        made: Any = respond(request, controller)
        made = asyncio.run(made)
        return made

    def assigned_or_caught(self, request: Any, controller: Any) -> Any:
        try:
            made: Any = respond(request, controller)
            raise ValueError(asyncio.run(made))
        except ValueError as made:
            return made

    def argument(self, request: Any, controller: Any) -> Any:
        if controller is None:
            request = respond(request, controller)
        return request

    def assigned_inside(self, request: Any, controller: Any) -> Any:
        made: Any = respond(request, controller)

        def wait() -> None:
            nonlocal made
            made = asyncio.run(made)

        wait()
        return made

    def one_of_two_names(self, request: Any, controller: Any) -> Any:
        made, _ = respond, controller
        return made

    def plain(self, request: Any, controller: Any) -> str:
        return self.text(request)

    async def waits(self, request: Any, controller: Any) -> str:
        return await respond(request, controller)

    def runs(self, request: Any, controller: Any) -> str:
        return asyncio.run(respond(request, controller))

    @run_to_the_end
    async def decorated(self, request: Any, controller: Any) -> str:
        return "response"

    @traced
    def traced(self, request: Any, controller: Any) -> str:
        return "response"

    def inner(self, request: Any, controller: Any) -> str:
        async def ask() -> str:
            return await respond(request, controller)

        def later() -> Any:
            return respond(request, controller)

        return asyncio.run(ask()) or later.__name__

    def overridden(self, request: Any, controller: Any) -> Any:
        respond = str
        return respond(request)

    def unknown_type(self, request: Any, controller: Any) -> NotImported:  # type: ignore[name-defined]  # noqa: F821
        return "response"

    def text(self, request: Any, controller: Any = None) -> str:
        return str(request)

    def generator(self, request: Any, controller: Any) -> Iterator[str]:
        yield "response"

    async def async_generator(self, request: Any, controller: Any) -> AsyncIterator[str]:
        yield "response"

    def annotated_generator(self, request: Any, controller: Any) -> Generator[str, None, None]:
        return (text for text in self.generator(request, controller))

    bound = staticmethod(functools.partial(str.format, "response"))
    callable = str
    builtin = print


@pytest.mark.parametrize("name", [name for name in vars(Wrong) if not name.startswith("_")])
def test_handler_that_returns_no_response_is_refused(name: str) -> None:
    impl = Wrong()
    with pytest.raises(TypeError, match=f"^{name} of Wrong is a plain function"):
        check_handler(impl, name, getattr(impl, name))


def test_error_names_the_async_function() -> None:
    impl = Wrong()
    said = r"returns the coroutine of self\._respond\(\), which nobody would await: make it an `asy"
    with pytest.raises(TypeError, match=said):
        check_handler(impl, "of_self", impl.of_self)


@pytest.mark.parametrize("name", [name for name in vars(Right) if not name.startswith("_")])
def test_handler_that_may_return_a_response_is_accepted(name: str) -> None:
    impl = Right()
    check_handler(impl, name, getattr(impl, name))


def test_function_without_source_is_accepted() -> None:
    made: dict[str, Any] = {"respond": respond}
    exec("def handler(request, controller): return respond(request, controller)", made)
    check_handler(object(), "Echo", made["handler"])


class Static:
    @staticmethod
    def Echo(request: Any, controller: Any) -> str:
        return "response"

    @classmethod
    def Stream(cls, request: Any, controller: Any) -> str:
        return "response"


def test_class_whose_methods_need_an_object_is_refused() -> None:
    said = (
        r"Right can't serve a\.Service: it is the class, .* needs an object; pass Right\(\.\.\.\)"
    )
    with pytest.raises(TypeError, match=said):
        check_is_object(Right, "a.Service", ["plain"])


def test_class_whose_methods_need_none_is_accepted() -> None:
    check_is_object(Static, "a.Service", ["Echo", "Stream", "Missing"])
    check_is_object(Right(), "a.Service", ["plain"])


def generator(request: Any, controller: Any) -> Iterator[bytes]:
    yield b""


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (b"", "the handler must be a function of a request and a controller: b''"),
        (Helper, "the handler is the class Helper: make an object of it"),
        (generator, "generator is a generator: return one response, don't yield"),
        (lambda request, controller: respond(request, controller), "returns the coroutine"),
    ],
)
def test_handler_that_can_not_serve_a_generic_service(handler: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        check_generic_handler(handler)


class Called:
    def __call__(self, request: Any, controller: Any) -> bytes:
        return b""


@pytest.mark.parametrize("handler", [respond, Called(), lambda request, controller: b""])
def test_handler_that_can_serve_a_generic_service(handler: Any) -> None:
    check_generic_handler(handler)


class OtherParameters:
    def without_controller(self, request: Any) -> str:
        return "response"

    async def as_in_cpp(self, controller: Any, request: Any, response: Any, done: Any) -> None: ...

    @staticmethod
    def keyword_only(request: Any, *, controller: Any) -> str:
        return "response"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("without_controller", "too many positional arguments"),
        ("as_in_cpp", "missing a required argument: 'response'"),
        ("keyword_only", "too many positional arguments"),
    ],
)
def test_handler_with_other_parameters_is_found(name: str, said: str) -> None:
    impl = OtherParameters()
    with pytest.raises(TypeError) as caught:
        check_handler(impl, name, getattr(impl, name))
    where = f"{name} of OtherParameters is called as {name}(request, controller)"
    assert str(caught.value) == f"{where}: {said}"
