"""The variables of several processes as one registry: what is added, what not, any bytes."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.metrics import (
    Adder,
    IntRecorder,
    LatencyRecorder,
    Maxer,
    Miner,
    MultiDimension,
    PassiveStatus,
    Percentile,
    Status,
)
from pybrpc.metrics.exposition.brpc_metrics import to_brpc_metrics
from pybrpc.metrics.merged_variables import MAX_TEXT_CHARS, merged_registry, variables_to_bytes
from pybrpc.metrics.registry import Display, Registry
from tests.fakes.metrics import SteppedSampler, own_variables


def merged(*makes: Any) -> Registry:
    """The registry of one worker for each function, which makes its variables."""
    states = []
    for make in makes:
        with own_variables() as sampler:
            kept = make(sampler)
            states.append(variables_to_bytes())
            del kept
    return merged_registry(states)


def shown(registry: Registry) -> dict[str, str]:
    return dict(registry.dump_exposed(display=Display.ALL))


def of_value(value: Any, name: str = "x") -> Any:
    return lambda sampler: Status(value, name)


@pytest.mark.parametrize(
    ("kind", "text"), [(Adder, "7"), (Maxer, "5"), (Miner, "2"), (IntRecorder, "3")]
)
def test_numbers_are_joined_as_their_kind_says(kind: Any, text: str) -> None:
    def make(number: int) -> Any:
        def made(sampler: SteppedSampler) -> Any:
            variable = kind("x")
            variable << number
            return variable

        return made

    assert shown(merged(make(2), make(5))) == {"x": text}


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("process_uptime", (3.5, 7.5), "7.5"),
        ("system_core_count", (4, 4), "4"),
        ("pid", (71, 72), "[71,72]"),
        ("ppid", (7, 7), "7"),
        ("process_memory_resident", (10, 20), "30"),
    ],
)
def test_numbers_of_processes(name: str, values: tuple[float, ...], text: str) -> None:
    assert shown(merged(*(of_value(value, name) for value in values))) == {name: text}


def test_texts_are_those_of_each_if_they_differ() -> None:
    assert shown(merged(of_value("a"), of_value("a"))) == {"x": '"a"'}
    assert shown(merged(of_value("a"), of_value("b\n"))) == {"x": '["a","b\\n"]'}
    many = [of_value("x" * 900 + str(number)) for number in range(5)]
    assert len(shown(merged(*many))["x"]) == MAX_TEXT_CHARS


def test_numbers_that_json_or_sums_can_not_have() -> None:
    assert shown(merged(of_value(10**5000), of_value(1)))["x"] == "inf"
    assert shown(merged(of_value(-(10**5000)), of_value(1)))["x"] == "-inf"
    assert shown(merged(of_value(float("nan")), of_value(1)))["x"] == "nan"
    assert shown(merged(of_value(True), of_value(True)))["x"] == "1"


def test_workers_of_different_releases_have_what_the_first_one_says() -> None:
    assert shown(merged(of_value(2), of_value("text"), of_value(3))) == {"x": "5"}
    assert shown(merged(of_value(2), of_value(3, "y"))) == {"x": "2", "y": "3"}


def test_variable_that_raises_is_shown_as_its_page_shows_it() -> None:
    def fail() -> int:
        raise SystemExit

    registry = merged(lambda sampler: PassiveStatus(fail, "x"))
    assert shown(registry) == {"x": '"raised SystemExit"'}


def latencies(*values: int) -> Any:
    def make(sampler: SteppedSampler) -> LatencyRecorder:
        recorder = LatencyRecorder("rpc_server_8000_search")
        sampler.pass_seconds()
        for value in values:
            recorder << value
        sampler.pass_seconds()
        return recorder

    return make


def test_latencies_are_those_of_all_calls() -> None:
    registry = merged(latencies(*[10] * 97), latencies(20, 20, 4000))
    found = shown(registry)
    prefix = "rpc_server_8000_search_"
    assert found[f"{prefix}count"] == "100"
    assert found[f"{prefix}qps"] == "50"  # of two seconds
    assert found[f"{prefix}latency"] == str((97 * 10 + 40 + 4000) // 100)
    assert found[f"{prefix}max_latency"] == "4000"
    assert found[f"{prefix}latency_90"] == "10"
    assert found[f"{prefix}latency_99"] == "20"
    assert found[f"{prefix}latency_percentiles"].startswith("[10,10,20,")
    text = to_brpc_metrics(registry)
    assert "# TYPE rpc_server_8000_search summary\n" in text
    assert "rpc_server_8000_search_sum 5010\nrpc_server_8000_search_count 100\n" in text


def test_each_set_of_labels_is_joined() -> None:
    def make(user: str, number: int) -> Any:
        def made(sampler: SteppedSampler) -> Any:
            variable = MultiDimension(Adder, ("user",), "calls")
            variable.get_stats(user).add(number)
            return variable

        return made

    registry = merged(make("a", 1), make("a", 2), make("b", 4))
    assert shown(registry) == {
        "calls": '{"name" : "calls", "labels" : ["user"], "stats_count" : 2}'
    }
    assert 'calls{user="a"} 3\ncalls{user="b"} 4\n' in to_brpc_metrics(registry)


def test_percentiles_of_all_values() -> None:
    def make(number: int) -> Any:
        def made(sampler: SteppedSampler) -> Any:
            variable = Percentile("sizes")
            variable << number
            return variable

        return made

    assert shown(merged(make(1), make(9))) == {"sizes": "[1,9]"}


def test_recorder_with_labels() -> None:
    def make(sampler: SteppedSampler) -> Any:
        variable = MultiDimension(LatencyRecorder, ("user",), "calls")
        variable.get_stats("a") << 5 << 6
        return variable

    assert 'calls_count{user="a"} 4\n' in to_brpc_metrics(merged(make, make))


def test_where_a_variable_is_shown_stays() -> None:
    registry = merged(latencies(1))
    assert "rpc_server_8000_search_latency_cdf" not in dict(registry.dump_exposed())
    assert "rpc_server_8000_search_latency_cdf" in shown(registry)


def test_nobody_has_variables() -> None:
    assert merged_registry([]).entries() == []


@given(st.binary(max_size=100))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no variables"):
        merged_registry([data])


def _leaves(plain: Any) -> list[tuple[Any, Any]]:
    """Each place in a state, as its container and its key."""
    if isinstance(plain, dict):
        items: list[Any] = list(plain.items())
    elif isinstance(plain, list):
        items = list(enumerate(plain))
    else:
        return []
    return [
        *((plain, key) for key, _ in items),
        *(place for _, value in items for place in _leaves(value)),
    ]


def _state() -> bytes:
    with own_variables() as sampler:
        kept = [
            latencies(3)(sampler),
            MultiDimension(Adder, ("user",), "calls"),
            IntRecorder("ir"),
            Percentile("p"),
            Status("text", "t"),
            Status(1, "n"),
        ]
        kept[1].get_stats("a").add(1)
        kept[3] << 4
        return variables_to_bytes()


STATE = _state()


@given(
    place=st.integers(0, 10_000),
    value=st.sampled_from([None, "x", -1, 10**30, 1e308, [], {}, [[]], [[1, 2, 3]], True]),
)
def test_state_with_anything_in_it_is_no_more_than_an_error(place: int, value: Any) -> None:
    state = json.loads(STATE)
    places = _leaves(state)
    container, key = places[place % len(places)]
    container[key] = value
    with contextlib.suppress(ValueError):
        registry = merged_registry([json.dumps(state).encode(), STATE])
        shown(registry)
        to_brpc_metrics(registry)
