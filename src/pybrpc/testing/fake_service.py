"""FakeService: a service whose methods answer what a test has set, and note what they were asked.

It is served by a real Server, so its responses and errors take the way that those of any handler
take. Its methods are async handlers: they may wait without a thread, and are canceled as others.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from pybrpc.base.checked_options import shown
from pybrpc.base.deadline import checked_timeout_s, deadline_after
from pybrpc.errors import NoMethodError, RpcError
from pybrpc.rpc.attribute_names import RESERVED, attribute_names
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.method import Method, methods_of
from pybrpc.server.calls.typed_service import NamesHandlers, TypedService, service_of
from pybrpc.transport.runtime import default_runtime

Answer = Message | BaseException | type[BaseException] | Callable[[Any, Controller], Any]
"""A response, an error to raise, or a function that is called as a handler."""


class FakeMethod:
    """One method of a FakeService. Any thread may set it and read it.

    What is set holds for the calls that begin afterwards. Each method that sets something returns
    the FakeMethod.
    """

    def __init__(self, method: Method, attribute: str) -> None:
        self._method = method
        self._attribute = attribute
        self._answer: Answer | None = None
        self._next: deque[Answer] = deque()
        self._delay_s = 0.0
        self._never_answers = False
        self.requests: list[Any] = []
        """The requests so far, oldest first: the messages that the server has parsed."""
        self.controllers: list[Controller] = []
        """The Controller of each request, which has its attachment, its log_id and so on."""

    @property
    def name(self) -> str:
        """The name of the method in the .proto file."""
        return self._method.name

    @property
    def calls(self) -> int:
        """How many requests there were so far."""
        return len(self.requests)

    def answers(self, answer: Answer) -> FakeMethod:
        """Answer each call with `answer`.

        A message is the response. An exception, or a class of exceptions, is raised: an RpcError
        reaches the caller with its code, all others as EINTERNAL. A function is called as a handler
        is, `answer(request, controller)`, and may be an `async def`; a plain one must not block.
        TypeError for anything else, and for a message of another type.
        """
        self._answer = self._checked(answer)
        self._never_answers = False
        return self

    def answers_in_turn(self, answers: Iterable[Answer]) -> FakeMethod:
        """Answer the next calls with one of `answers` each, then again as before. What is left of
        an earlier `answers_in_turn` is dropped."""
        self._next = deque([self._checked(each) for each in answers])
        return self

    def never_answers(self) -> FakeMethod:
        """Answer no call: each ends at its deadline, or when its caller cancels it or goes away.
        Until `answers` is called."""
        self._never_answers = True
        return self

    def takes(self, seconds: float) -> FakeMethod:
        """Wait for `seconds` before each answer, also of what was set before. The time is that of
        `fake_clock`, if one is used."""
        checked = checked_timeout_s(seconds, "seconds")
        if checked is None:
            raise TypeError("seconds must be a number; use never_answers() for no end")
        self._delay_s = checked
        return self

    def reset(self) -> FakeMethod:
        """Be as new: nothing is set, no request is noted."""
        self._answer, self._delay_s, self._never_answers = None, 0.0, False
        self._next = deque()
        self.requests, self.controllers = [], []
        return self

    async def __call__(self, request: Any, controller: Controller) -> Any:
        """Serve one request: this is the handler."""
        self.requests.append(request)
        self.controllers.append(controller)
        answer = self._take_answer()
        if self._delay_s:
            await _pause(self._delay_s)
        if answer is None:
            await asyncio.get_running_loop().create_future()
        if isinstance(answer, Message):
            return answer
        if isinstance(answer, BaseException):
            raise _fresh(answer)
        if isinstance(answer, type):
            raise answer()
        assert answer is not None
        result = answer(request, controller)
        return await result if inspect.isawaitable(result) else result

    def _take_answer(self) -> Answer | None:
        """The answer to one more call; `None`: none is to be given."""
        if self._next:
            try:
                return self._next.popleft()
            except IndexError:
                pass  # another thread was quicker
        if self._never_answers:
            return None
        if self._answer is not None:
            return self._answer
        name = self._method.full_name
        raise NoMethodError(
            f"the test has not set what {name} answers: call .{self._attribute}.answers(...) of "
            "the FakeService"
        )

    def _checked(self, answer: Any) -> Answer:
        kind = self._method.response_class
        if isinstance(answer, Message):
            if not isinstance(answer, kind):
                raise TypeError(
                    f"{self._method.full_name} answers a {kind.__name__}, not a "
                    f"{type(answer).__name__}"
                )
        elif isinstance(answer, type):
            if not issubclass(answer, BaseException):
                raise TypeError(f"give an object of {answer.__name__}, not the class")
            _check_made_without_arguments(answer)
        elif not isinstance(answer, BaseException) and not callable(answer):
            raise TypeError(
                f"{self._method.full_name} answers a {kind.__name__}, an exception, or a function "
                f"of a request and a controller, not {shown(answer)}"
            )
        checked: Answer = answer
        return checked

    def __repr__(self) -> str:
        return f"<FakeMethod {self._method.full_name}, {self.calls} calls>"


_OWN = frozenset({"calls", "reset", "service", "_attributes", "_handler_names", "_methods"})
"""Attributes of a FakeService that are no methods of the service."""


class FakeService(NamesHandlers):
    """A service for tests: each method of the .proto file is an attribute, a `FakeMethod`.

        fake = FakeService(EchoServiceBase)
        fake.Echo.answers(EchoResponse(message="hi"))
        with channel_for(fake) as channel:
            ...
        assert fake.Echo.requests == [EchoRequest(message="hello")]

    `service` is a generated class, a `pybrpc.TypedService`, or a service descriptor; TypeError for
    others. A method that was not set fails with ENOMETHOD. For `channel_for`, or for any server:
    `server.add_service(fake.service, fake)`. Methods that stream are not served, and have no
    attribute.

    A method has the attribute that it has in generated classes: `import` is `fake.import_`. One
    that is named like an attribute of this class has an underscore too: `fake.service_`,
    `fake.calls_`, `fake.reset_`. `fake["import"]` takes the name of the .proto file, any name;
    KeyError if there is no such method.
    """

    def __init__(self, service: ServiceDescriptor | type[TypedService]) -> None:
        if isinstance(service, TypedService):
            kind = type(service).__name__
            raise TypeError(f"{kind}(...) is an object: pass its class, {kind}")
        descriptor = service_of(service) if isinstance(service, type) else service
        methods = methods_of(descriptor)
        names = attribute_names((each.name for each in descriptor.methods), RESERVED | _OWN)
        self._methods = {each.name: FakeMethod(each, names[each.name]) for each in methods}
        self._attributes = {names[name]: method for name, method in self._methods.items()}
        self.service = descriptor
        """The descriptor of the service."""

    def __getitem__(self, name: str) -> FakeMethod:
        """The method of that name; KeyError."""
        return self._methods[name]

    def __getattr__(self, name: str) -> FakeMethod:
        methods: dict[str, FakeMethod] = self.__dict__.get("_attributes", {})
        if name in methods:
            return methods[name]
        known = ", ".join(methods) or "none"
        raise AttributeError(f"a FakeService has the methods of its service, {known}: no {name!r}")

    def __setattr__(self, name: str, value: object) -> None:
        if name in self.__dict__.get("_attributes", {}):
            raise AttributeError(f"a method can't be replaced: call .{name}.answers(...)")
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._attributes]

    def _handler_names(self) -> dict[str, str]:
        """See `NamesHandlers`."""
        return {method.name: attribute for attribute, method in self._attributes.items()}

    @property
    def calls(self) -> int:
        """How many requests there were so far, of all methods."""
        return sum(method.calls for method in self._methods.values())

    def reset(self) -> None:
        """Have all methods be as new."""
        for method in self._methods.values():
            method.reset()

    def __repr__(self) -> str:
        return f"<FakeService {self.service.full_name}, {self.calls} calls>"


def _fresh(error: BaseException) -> BaseException:
    """An error that may be raised again and again: with a traceback of its own."""
    return error.copy() if isinstance(error, RpcError) else error.with_traceback(None)


def _check_made_without_arguments(kind: type[BaseException]) -> None:
    """TypeError if a class of exceptions can't be raised as it is."""
    try:
        kind()
    except BaseException as error:
        text = f"{kind.__name__} can't be made without arguments: give an object of it"
        raise TypeError(text) from error


async def _pause(seconds: float) -> None:
    """Sleep, by the clock of the library."""
    loop = asyncio.get_running_loop()
    woken = loop.create_future()

    def wake() -> None:
        if not woken.done():
            woken.set_result(None)

    timer = default_runtime().dispatcher_of(loop).call_at(deadline_after(seconds), wake)
    try:
        await woken
    finally:
        timer.cancel()
