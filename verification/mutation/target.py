"""The modules to mutate, and the tests that must catch the mutants."""

from __future__ import annotations

from dataclasses import dataclass

_SOCKET = "tests/unit/transport/socket"

_LEFT_OUT = (
    # The bytecodes of what mutmut puts before each function would be among them.
    "test_reentrant.py::test_start_write_is_reentrant_at_every_bytecode",
    "test_failure_reaches_everybody.py"
    "::test_close_at_every_bytecode_of_the_first_write_reaches_the_request",
    # They look at the frames of an error, among which are those of mutmut.
    "test_users_that_raise.py::test_error_without_code_of_the_user_is_left_to_the_dispatcher",
    "test_users_that_raise.py::test_error_in_a_user_of_the_library_is_left_to_the_dispatcher",
    # Long, and of other things than a mutant of one module breaks.
    "test_faults.py::test_a_thousand_sockets_opened_and_dropped_leave_nothing",
    "test_faults.py::test_a_thousand_refused_connections_leave_nothing",
)


@dataclass(frozen=True, slots=True)
class Target:
    """One module, its tests, and further arguments of pytest."""

    name: str
    source: str
    tests: tuple[str, ...]
    options: tuple[str, ...] = ()


_SOCKET_TESTS = (
    f"{_SOCKET}/test_socket.py",
    f"{_SOCKET}/test_socket_state.py",
    f"{_SOCKET}/test_socket_edges.py",
    f"{_SOCKET}/test_reader.py",
    f"{_SOCKET}/test_fail_while_failing.py",
    f"{_SOCKET}/test_brpc_socket_acceptance.py",
    f"{_SOCKET}/test_order.py",
    f"{_SOCKET}/test_exactly_one_outcome.py",
    f"{_SOCKET}/test_never_waits.py",
    f"{_SOCKET}/test_reentrant.py",
    f"{_SOCKET}/test_no_lost_wake_up.py",
    f"{_SOCKET}/test_callbacks_without_the_right.py",
    f"{_SOCKET}/test_bounded_backlog.py",
    f"{_SOCKET}/test_bad_message_fails_alone.py",
    f"{_SOCKET}/test_shutdown_write.py",
    f"{_SOCKET}/test_failure_reaches_everybody.py",
    f"{_SOCKET}/test_users_that_raise.py",
    f"{_SOCKET}/test_faults.py",
    f"{_SOCKET}/test_graceful_close.py",
    "tests/unit/transport/connecting/test_handshake.py",
    "tests/unit/transport/test_interfaces.py",
    "tests/unit/transport/test_interleavings.py",
)
_SOCKET_OPTIONS = (
    "--schedules=20",
    *(f"--deselect={_SOCKET}/{test}" for test in _LEFT_OUT),
    # A mutant of its own in each, and long.
    "--deselect=tests/unit/transport/test_interleavings.py"
    "::test_mutant_is_caught_and_its_seed_catches_it_again",
)

TARGETS = (
    Target(
        "write_queue",
        "src/pybrpc/transport/writing/write_queue.py",
        ("tests/unit/transport/writing/test_write_queue.py",),
    ),
    Target(
        "socket",
        "src/pybrpc/transport/socket/socket.py",
        _SOCKET_TESTS,
        _SOCKET_OPTIONS,
    ),
    Target(
        "socket_core",
        "src/pybrpc/transport/writing/socket_core.py",
        _SOCKET_TESTS,
        _SOCKET_OPTIONS,
    ),
    Target(
        "meta_decoder",
        "src/pybrpc/protocols/baidu_std/meta_decoder.py",
        ("tests/property/test_meta_decoder.py",),
    ),
    Target(
        "meta_encoder",
        "src/pybrpc/protocols/baidu_std/meta_encoder.py",
        ("tests/property/test_meta_encoder.py",),
    ),
)
