"""What is mutated, and which tests have to notice."""

from __future__ import annotations

from dataclasses import dataclass

_TRANSPORT = "tests/unit/transport"

_LEFT_OUT = (
    # The bytecodes of what mutmut puts before each function would be among them.
    "test_guarantee_4.py::test_guarantee_4_reentrant_at_every_bytecode_of_start_write",
    "test_guarantee_10.py::test_guarantee_10_closed_at_every_bytecode_of_the_first_write",
    # Long, and of other things than a mutant of one module breaks.
    "test_interleavings.py::test_mutant_is_caught_and_its_seed_catches_it_again",
    "test_faults.py::test_a_thousand_sockets_opened_and_dropped_leave_nothing",
    "test_faults.py::test_a_thousand_refused_connections_leave_nothing",
)


@dataclass(frozen=True, slots=True)
class Target:
    """One module, its tests, and what pytest is told besides."""

    name: str
    source: str
    tests: tuple[str, ...]
    options: tuple[str, ...] = ()


TARGETS = (
    Target(
        "write_queue",
        "src/pybrpc/transport/write_queue.py",
        (f"{_TRANSPORT}/test_write_queue.py",),
    ),
    Target(
        "socket",
        "src/pybrpc/transport/socket.py",
        (
            f"{_TRANSPORT}/test_socket.py",
            f"{_TRANSPORT}/test_socket_state.py",
            f"{_TRANSPORT}/test_socket_edges.py",
            f"{_TRANSPORT}/test_reader.py",
            f"{_TRANSPORT}/test_mark_failed.py",
            f"{_TRANSPORT}/test_brpc_socket_acceptance.py",
            f"{_TRANSPORT}/test_guarantees_1_and_2.py",
            f"{_TRANSPORT}/test_guarantees_3_5_and_6.py",
            f"{_TRANSPORT}/test_guarantees_7_to_9.py",
            f"{_TRANSPORT}/test_guarantee_4.py",
            f"{_TRANSPORT}/test_guarantee_10.py",
            f"{_TRANSPORT}/test_faults.py",
            f"{_TRANSPORT}/test_gentle_close.py",
            f"{_TRANSPORT}/test_handshake.py",
            f"{_TRANSPORT}/test_layer.py",
            f"{_TRANSPORT}/test_interleavings.py",
        ),
        (
            "--schedules=20",
            *(f"--deselect={_TRANSPORT}/{test}" for test in _LEFT_OUT),
        ),
    ),
    Target(
        "meta_codec",
        "src/pybrpc/protocols/baidu_std/meta_codec.py",
        ("tests/property/test_meta_codec.py",),
    ),
)
