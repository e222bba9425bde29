"""The page /status, back to numbers."""

from __future__ import annotations

import pytest

from pybrpc.cli.status_text import parse_status

pytestmark = pytest.mark.same_everywhere

CPP = """\
version: Svc
non_service_error: 3
connection_count: 2
max_concurrency: unlimited
concurrency: 1
[conformance.EchoService]

Echo (EchoRequest) returns (EchoResponse) @/echo
count: 90
qps: 30
error: 2
eps: 0
latency: 131
latency_50: 56
max_latency: 2164
concurrency: 1


Stream (EchoRequest) returns (EchoResponse)
count: 0
qps: 0

[mounted applications]

/app
count: 7
"""


def test_figures_of_a_server_and_its_methods_are_read() -> None:
    status = parse_status(CPP)
    assert status.facts["version"] == "Svc"
    assert (status.number("connection_count"), status.number("max_concurrency")) == (2, 0)
    assert list(status.methods) == [
        "conformance.EchoService.Echo",
        "conformance.EchoService.Stream",
        "/app",
    ]
    echo = status.methods["conformance.EchoService.Echo"]
    assert (echo["count"], echo["error"], echo["latency"], echo["concurrency"]) == (90, 2, 131, 1)
    assert status.methods["/app"] == {"count": 7}
    assert status.workers == 0


def test_figures_of_workers_are_added_up_and_the_slowest_one_counts() -> None:
    other = CPP.replace("qps: 30", "qps: 10").replace("latency: 131", "latency: 531")
    other = other.replace("latency_50: 56", "latency_50: 400")
    text = f"==== worker 0 (pid 1) ====\n\n{CPP}\n==== worker 1 (pid 2) ====\n\n{other}"
    status = parse_status(text)
    assert status.workers == 2
    assert (status.number("connection_count"), status.number("non_service_error")) == (4, 6)
    echo = status.methods["conformance.EchoService.Echo"]
    assert (echo["count"], echo["qps"], echo["latency_50"], echo["max_latency"]) == (
        180,
        40,
        400,
        2164,
    )
    assert echo["latency"] == (30 * 131 + 10 * 531) // 40


@pytest.mark.parametrize("text", ["", "nonsense", "[", "[a]\ncount: 5", "==== x ====", "a: inf\n"])
def test_text_that_is_no_status_has_no_methods(text: str) -> None:
    status = parse_status(text)
    assert status.methods == {}
    assert status.number("a") == 0


def test_figures_of_workers_that_make_no_sense_are_added_up_too() -> None:
    def worker(number: int, qps: int) -> str:
        return f"==== worker {number} ====\nversion: x\n[S]\nEcho\nqps: {qps}\nlatency: 1e308\n"

    echo = parse_status(worker(0, 5) + worker(1, -4)).methods["S.Echo"]
    assert (echo["qps"], echo["latency"]) == (1, 1 << 63)
    digits = "9" * 5000
    assert parse_status(f"a: {digits}\nb: -1e300").number("a") == 0


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("Echo", ["S.Echo"]),
        ("Echo @/echo", ["S.Echo"]),
        ("Echo (A) returns (B)", ["S.Echo"]),
        ("Echo (A) returns (B) @/echo -> x", ["S.Echo"]),
        ("/app", ["/app"]),
        ("Echo (A)", []),
        ("some words", []),
        ("a\tb", []),
    ],
)
def test_line_of_a_method_is_told_from_others(line: str, names: list[str]) -> None:
    assert list(parse_status(f"version: x\n[S]\n{line}\n").methods) == names


def test_line_of_any_length_is_read() -> None:
    """A regular expression that goes back at each part would take hours for it."""
    line = "a (" + ") returns (" * 200_000
    assert list(parse_status(f"version: x\n[S]\n{line}\n").methods) == ["S.a"]
