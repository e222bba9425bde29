"""The modules to mutate, and the tests that must catch the mutants."""

from __future__ import annotations

from dataclasses import dataclass

_SOCKET = "tests/unit/transport/socket"

_LEFT_OUT = (
    # The bytecodes of what mutmut puts before each function would be among them.
    "test_guarantee_4.py::test_guarantee_4_reentrant_at_every_bytecode_of_start_write",
    "test_guarantee_10.py::test_guarantee_10_closed_at_every_bytecode_of_the_first_write",
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


TARGETS = (
    Target(
        "write_queue",
        "src/pybrpc/transport/writing/write_queue.py",
        ("tests/unit/transport/writing/test_write_queue.py",),
    ),
    Target(
        "socket",
        "src/pybrpc/transport/socket/socket.py",
        (
            f"{_SOCKET}/test_socket.py",
            f"{_SOCKET}/test_socket_state.py",
            f"{_SOCKET}/test_socket_edges.py",
            f"{_SOCKET}/test_reader.py",
            f"{_SOCKET}/test_mark_failed.py",
            f"{_SOCKET}/test_brpc_socket_acceptance.py",
            f"{_SOCKET}/test_guarantees_1_and_2.py",
            f"{_SOCKET}/test_guarantees_3_5_and_6.py",
            f"{_SOCKET}/test_guarantees_7_to_9.py",
            f"{_SOCKET}/test_guarantee_4.py",
            f"{_SOCKET}/test_guarantee_10.py",
            f"{_SOCKET}/test_faults.py",
            f"{_SOCKET}/test_graceful_close.py",
            "tests/unit/transport/connecting/test_handshake.py",
            "tests/unit/transport/test_interfaces.py",
            "tests/unit/transport/test_interleavings.py",
        ),
        (
            "--schedules=20",
            *(f"--deselect={_SOCKET}/{test}" for test in _LEFT_OUT),
            # A mutant of its own in each, and long.
            "--deselect=tests/unit/transport/test_interleavings.py"
            "::test_mutant_is_caught_and_its_seed_catches_it_again",
        ),
    ),
    Target(
        "meta_codec",
        "src/pybrpc/protocols/baidu_std/meta_codec.py",
        ("tests/property/test_meta_codec.py",),
    ),
)
