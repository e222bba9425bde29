from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

import pybrpc
from pybrpc.errors import InternalServerError, NoMethodError, RpcTimeoutError
from pybrpc.testing import FakeService, aio, channel_for, fake_clock
from pybrpc.testing.fake_service import _OWN
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.raw_peer import SERVICE, EchoRequest, EchoResponse
from tests.peers.streaming import MIXED
from tests.peers.typed_echo import EchoServiceBase, TypedEcho

HELLO = EchoRequest(message="hello")


def reply(text: str) -> Any:
    return EchoResponse(message=text)


@pytest.fixture
def fake() -> FakeService:
    return FakeService(SERVICE)


def outcomes(fake: FakeService, count: int, **options: Any) -> list[Any]:
    """The ends of `count` calls of Echo: texts of responses, and names of errors."""
    found: list[Any] = []
    with channel_for(fake, timeout=WAIT_S, **options) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        for _ in range(count):
            try:
                found.append(stub.Echo(HELLO).message)
            except pybrpc.RpcError as error:
                found.append(error.name)
    return found


def test_response_answers_each_call(fake: FakeService) -> None:
    fake.Echo.answers(reply("hi"))
    assert outcomes(fake, 2) == ["hi", "hi"]


def test_requests_and_controllers_are_noted(fake: FakeService) -> None:
    fake.Echo.answers(reply("hi"))
    controller = pybrpc.Controller(log_id=7)
    controller.request_attachment.append(b"attached")
    with channel_for(fake, timeout=WAIT_S) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        stub.Echo(HELLO, controller=controller)
        stub.Echo(EchoRequest(message="again"))
    assert fake.Echo.requests == [HELLO, EchoRequest(message="again")]
    assert fake.Echo.controllers[0].log_id == 7
    assert bytes(fake.Echo.controllers[0].request_attachment) == b"attached"
    assert (fake.Echo.calls, fake.Stream.calls, fake.calls) == (2, 0, 2)


def test_rpc_error_reaches_the_caller_with_code_and_text_each_time(fake: FakeService) -> None:
    error = pybrpc.RpcError("no such user", code=20001)
    fake.Echo.answers(error)
    with channel_for(fake, timeout=WAIT_S) as channel:
        for _ in range(2):
            with pytest.raises(pybrpc.RpcError) as raised:
                pybrpc.Stub(SERVICE, channel).Echo(HELLO)
            assert (raised.value.code, raised.value.message) == (20001, "no such user")
    assert error.__traceback__ is None


@pytest.mark.parametrize("error", [ValueError("odd"), ValueError, SystemExit(3)])
def test_other_errors_are_those_of_a_handler_that_raised(fake: FakeService, error: Any) -> None:
    fake.Echo.answers(error)
    with channel_for(fake, timeout=WAIT_S) as channel, pytest.raises(InternalServerError):
        pybrpc.Stub(SERVICE, channel).Echo(HELLO)


def test_function_is_called_as_a_handler(fake: FakeService) -> None:
    def shout(request: Any, controller: pybrpc.Controller) -> Any:
        return reply(request.message.upper())

    async def whisper(request: Any, controller: pybrpc.Controller) -> Any:
        await asyncio.sleep(0)
        return reply(request.message + "...")

    fake.Echo.answers(shout)
    assert outcomes(fake, 1) == ["HELLO"]
    fake.Echo.answers(whisper)
    assert outcomes(fake, 1) == ["hello..."]


def test_sequence_comes_first_and_then_what_was_set(fake: FakeService) -> None:
    busy = pybrpc.RpcError("busy", code=20002)
    fake.Echo.answers(reply("later")).answers_in_turn([busy, reply("first")])
    assert outcomes(fake, 4) == ["E20002", "first", "later", "later"]


def test_sequence_that_is_used_up_leaves_the_method_unset(fake: FakeService) -> None:
    fake.Echo.answers_in_turn([reply("only")])
    assert outcomes(fake, 2) == ["only", "ENOMETHOD"]


@pytest.mark.parametrize("protocol", ["baidu_std", "hulu_pbrpc", "sofa_pbrpc", "http"])
def test_method_that_was_not_set_says_what_to_do(fake: FakeService, protocol: str) -> None:
    with channel_for(fake, protocol=protocol, timeout=WAIT_S) as channel:
        with pytest.raises(NoMethodError, match=r"has not set what .*Echo answers: call \.Echo\."):
            pybrpc.Stub(SERVICE, channel).Echo(HELLO)


def test_method_that_never_answers_lets_the_call_time_out(fake: FakeService) -> None:
    fake.Echo.never_answers()
    with channel_for(fake) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        with pytest.raises(RpcTimeoutError):
            stub.Echo(HELLO, timeout=0.01)
        fake.Echo.answers(reply("hi"))
        assert stub.Echo(HELLO, timeout=WAIT_S).message == "hi"


def test_delay_is_waited_for_by_the_clock_of_the_library(fake: FakeService) -> None:
    fake.Echo.answers(reply("hi")).takes(60)
    with fake_clock() as clock, channel_for(fake, timeout=None) as channel:
        future = pybrpc.Stub(SERVICE, channel).Echo.future(HELLO)
        wait_until(lambda: fake.Echo.calls == 1)
        clock.advance(59)
        assert not future.done()
        clock.advance(1)
        assert future.result(WAIT_S).message == "hi"


def test_delayed_answer_comes_without_a_fake_clock_too(fake: FakeService) -> None:
    fake.Echo.answers(reply("hi")).takes(0.01)
    assert outcomes(fake, 2) == ["hi", "hi"]


def test_reset_fake_is_as_new(fake: FakeService) -> None:
    fake.Echo.answers(reply("hi")).takes(0).never_answers()
    fake.Stream.answers_in_turn([reply("hi")])
    with pytest.raises(RpcTimeoutError), channel_for(fake) as channel:
        pybrpc.Stub(SERVICE, channel).Echo(HELLO, timeout=0.01)
    fake.reset()
    assert fake.calls == 0
    assert outcomes(fake, 1) == ["ENOMETHOD"]


def test_fake_serves_in_a_loop_and_in_any_server(fake: FakeService) -> None:
    fake.Echo.answers(reply("hi"))

    async def call() -> str:
        async with aio.channel_for(fake, timeout=WAIT_S) as channel:
            response = await pybrpc.Stub(SERVICE, channel).Echo(HELLO)
            return str(response.message)

    assert asyncio.run(call()) == "hi"
    with pybrpc.Server() as server:
        server.add_service(fake.service, fake)
        with pybrpc.Channel(server.start("127.0.0.1:0")) as channel:
            assert pybrpc.Stub(SERVICE, channel).Echo(HELLO, timeout=WAIT_S).message == "hi"
    assert fake.Echo.calls == 2


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (HELLO, "Echo answers a EchoResponse, not a EchoRequest"),
        ({"message": "hi"}, "answers a EchoResponse, an exception, or a function"),
        (EchoResponse, "give an object of EchoResponse, not the class"),
        (None, "not None"),
    ],
)
def test_answer_that_can_not_be_one_is_refused_where_it_is_given(
    fake: FakeService, answer: Any, text: str
) -> None:
    with pytest.raises(TypeError, match=text):
        fake.Echo.answers(answer)
    with pytest.raises(TypeError, match=text):
        fake.Echo.answers_in_turn([answer])


@pytest.mark.parametrize(
    ("seconds", "kind"), [(-1, ValueError), ("1", TypeError), (None, TypeError)]
)
def test_delay_that_is_none_is_refused(fake: FakeService, seconds: Any, kind: type) -> None:
    with pytest.raises(kind):
        fake.Echo.takes(seconds)


def test_names_of_methods_are_attributes(fake: FakeService) -> None:
    assert fake["Echo"] is fake.Echo
    assert fake.Echo.name == "Echo"
    assert {"Echo", "Stream"} <= set(dir(fake))
    with pytest.raises(AttributeError, match="the methods of its service, Echo, Stream: no 'Ecko'"):
        _ = fake.Ecko
    with pytest.raises(KeyError):
        _ = fake["Ecko"]
    with pytest.raises(TypeError):
        FakeService(HELLO)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [EchoServiceBase, TypedEcho])
def test_generated_class_names_the_service(kind: type[pybrpc.TypedService]) -> None:
    fake = FakeService(kind)
    assert fake.service is SERVICE
    fake.Echo.answers(reply("fake"))
    assert outcomes(fake, 1) == ["fake"]
    assert fake.Echo.requests == [HELLO]


@pytest.mark.parametrize(
    ("service", "text"),
    [
        (TypedEcho(), r"TypedEcho\(...\) is an object: pass its class, TypedEcho"),
        (pybrpc.TypedService, "derived from no class of protoc-gen-pybrpc"),
        (EchoRequest, "EchoRequest is derived from no class of protoc-gen-pybrpc"),
        (object(), "pass the descriptor of a service"),
    ],
)
def test_fake_of_anything_else_is_refused(service: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        FakeService(service)


def test_methods_that_stream_are_left_out() -> None:
    fake = FakeService(MIXED)
    assert not hasattr(fake, "Chat")
    assert "Echo" in dir(fake)


def test_fakes_say_what_they_are(fake: FakeService) -> None:
    assert repr(fake) == "<FakeService conformance.EchoService, 0 calls>"
    assert repr(fake.Echo) == "<FakeMethod conformance.EchoService.Echo, 0 calls>"


ODD_NAMES = {
    "class": "class_",
    "None": "None_",
    "import": "import__",
    "import_": "import_",
    "print": "print",
    "answers": "answers",
    "calls": "calls_",
    "reset": "reset_",
    "service": "service_",
    "SERVICE": "SERVICE_",
    "_methods": "_methods_",
    "_handler_names": "_handler_names_",
    "__init__": "rpc__init__",
    "__class__": "rpc__class__",
    "__getattr__": "rpc__getattr__",
}
"""Names of methods, and their attributes."""


def odd_service() -> Any:
    """The descriptor of a service whose methods have these names."""
    file = FileDescriptorProto(name="odd.proto", package="odd", syntax="proto3")
    file.message_type.add(name="Text").field.add(name="text", number=1, type=9, label=1)
    service = file.service.add(name="Odd")
    for name in ODD_NAMES:
        service.method.add(name=name, input_type=".odd.Text", output_type=".odd.Text")
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName("odd.Odd")


def test_method_of_any_name_is_set_served_and_read() -> None:
    descriptor = odd_service()
    fake = FakeService(descriptor)
    text: Any = GetMessageClass(descriptor.file.message_types_by_name["Text"])
    for name, attribute in ODD_NAMES.items():
        assert getattr(fake, attribute) is fake[name]
        assert attribute in dir(fake)
        getattr(fake, attribute).answers(text(text=name))
    with channel_for(fake, timeout=WAIT_S) as channel:
        methods = vars(pybrpc.Stub(descriptor, channel))
        for name in ODD_NAMES:
            assert methods[name](text(text="hello")).text == name
            assert fake[name].requests == [text(text="hello")]
    assert (fake.service, fake.calls) == (descriptor, len(ODD_NAMES))
    fake.reset()
    assert fake.calls == 0


def test_method_that_was_not_set_says_its_attribute() -> None:
    descriptor = odd_service()
    text: Any = GetMessageClass(descriptor.file.message_types_by_name["Text"])
    with channel_for(FakeService(descriptor), timeout=WAIT_S) as channel:
        methods = vars(pybrpc.Stub(descriptor, channel))
        with pytest.raises(NoMethodError, match=r"odd\.Odd\.class answers: call \.class_\.ans"):
            methods["class"](text())


def test_attributes_of_a_fake_are_known(fake: FakeService) -> None:
    own = {name for name in object.__dir__(fake) if not name.startswith("__")}
    assert own - set(dir(object)) == set(_OWN)


def test_fake_serves_its_own_service_alone(fake: FakeService) -> None:
    with pytest.raises(
        TypeError, match=r"FakeService can't serve odd\.Odd: it has no method class"
    ):
        pybrpc.Server().add_service(odd_service(), fake)


class NoSuchUserError(pybrpc.RpcError):
    """As users write their errors: with a constructor of its own."""

    def __init__(self, user: int) -> None:
        super().__init__(f"no user {user}", code=20001)


def test_error_of_a_users_class_keeps_its_code(fake: FakeService) -> None:
    fake.Echo.answers(NoSuchUserError(7))
    assert outcomes(fake, 2) == ["E20001", "E20001"]


def test_class_that_needs_arguments_is_refused_where_it_is_given(fake: FakeService) -> None:
    with pytest.raises(TypeError, match="RpcError can't be made without arguments"):
        fake.Echo.answers(pybrpc.RpcError)


class Unspeakable:
    def __repr__(self) -> str:
        raise KeyError


def test_thing_without_a_repr_is_refused(fake: FakeService) -> None:
    with pytest.raises(TypeError, match="answers a EchoResponse, an exception, or a function"):
        fake.Echo.answers(Unspeakable())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="or a FakeService, or a Server"):
        channel_for(Unspeakable())  # type: ignore[call-overload]


def test_method_can_not_be_replaced(fake: FakeService) -> None:
    with pytest.raises(AttributeError, match=r"call \.Echo\.answers\(\.\.\.\)"):
        fake.Echo = reply("hi")
