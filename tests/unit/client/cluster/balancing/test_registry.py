"""Balancers by their names, with their parameters; those of applications."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.client.cluster.balancing import registry
from pybrpc.client.cluster.balancing.load_balancer import LoadBalancer
from pybrpc.client.cluster.balancing.registry import (
    DEFAULT,
    KINDS,
    new_load_balancer,
    register_load_balancer,
    unregister_load_balancer,
)
from pybrpc.client.cluster.balancing.round_robin import RoundRobin
from tests.fakes.clusters import new_servers, picks, weighted


def test_names_are_those_of_brpc_and_ours() -> None:
    of_brpc = {"rr", "wrr", "random", "wr", "la", "p2c", "c_murmurhash", "c_md5", "c_ketama"}
    assert of_brpc | {"c_murmurhash_bl", "maglev", "p2c_ewma"} == KINDS.keys()
    assert new_load_balancer().name == DEFAULT == "p2c_ewma"


@pytest.mark.parametrize("name", KINDS)
def test_balancer_has_its_name_in_any_case(name: str) -> None:
    assert new_load_balancer(name.upper()).name == name
    needs_key = name.startswith("c_") or name == "maglev"
    assert new_load_balancer(f"{name}:zone=a").needs_hash_key == needs_key


def test_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no load balancer 'rx'; there are c_ketama, .*, wrr"):
        new_load_balancer("rx")
    with pytest.raises(ValueError, match="no load balancer ''"):
        new_load_balancer("")


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("rr:mi_working_instances=2", "has no parameter 'mi_working_instances'; it has client,"),
        ("c_md5:subset=5", "has no parameter 'subset'"),
        ("p2c:choices=65", "from 2 to 64"),
        ("p2c:tau_ms=0", "from 1"),
        ("p2c:max_punish_ms=-1", "from 0"),
        ("c_ketama:replicas=50", "a multiple of 4"),
        ("c_md5:replicas=0", "from 1"),
        ("c_murmurhash_bl:load_factor=1", "above 1"),
        ("maglev:table_size=1000", "a prime number"),
        ("wr:default_weight=0", "above 0"),
        ("rr:zone_clients=0.5", "zone_clients needs zone too"),
        ("rr:zone=a zone_clients=1.5", "at most 1"),
        ("rr:client=5", "client needs subset too"),
        ("rr:subset=5 clients=5", "clients needs client too"),
        ("rr:subset=5 client=5 clients=5", "client must be less than clients"),
        ("rr:min_working_instances=5", "min_working_instances needs hold_seconds too"),
        ("rr:hold_seconds=5", "hold_seconds needs min_working_instances too"),
        ("rr:hold_seconds=0 min_working_instances=1", "from 1"),
    ],
)
def test_wrong_parameter_is_refused(spec: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        new_load_balancer(spec)


def test_parameters_reach_the_balancer() -> None:
    def picker(spec: str) -> Any:
        return new_load_balancer(spec).new_picker(new_servers(10))

    p2c = picker("p2c:choices=4 tau_ms=500 max_punish_ms=0")
    choices = {p2c.pick((), None, 0.0) for _ in range(100)}
    assert len(choices) == 10
    assert len(picker("c_md5:replicas=7")._entries) == 70
    assert len(picker("c_ketama:replicas=8")._entries) == 80
    assert len(picker("maglev:table_size=1009")._table) == 1009
    assert len(picker("rr:subset=3").servers) == 3
    assert len(picker("rr:subset=3 client=1").servers) == 3
    servers = weighted("", "3")
    wrr = new_load_balancer("wrr:default_weight=2").new_picker(servers)
    assert picks(wrr, 5) == {servers[0]: 2, servers[1]: 3}
    wr = new_load_balancer("wr:default_weight=2").new_picker(servers)
    assert picks(wr, 100).keys() == set(servers)


def test_wrappers_are_combined() -> None:
    spec = "random:zone=a subset=4 client=0 clients=2 min_working_instances=2 hold_seconds=1"
    servers = new_servers(8, "zone=a")
    picker: Any = new_load_balancer(spec).new_picker(servers)
    assert len(picker.servers) == 4
    assert picks(picker, 100).keys() == set(picker.servers)


@pytest.fixture
def own_names() -> Iterator[None]:
    before = dict(registry._factories)
    yield
    registry._factories.clear()
    registry._factories.update(before)


@pytest.mark.usefixtures("own_names")
def test_balancer_of_an_application() -> None:
    given: list[dict[str, str]] = []

    def factory(parameters: dict[str, str]) -> LoadBalancer:
        given.append(parameters)
        return RoundRobin()

    register_load_balancer("My.first-1", factory)
    balancer = new_load_balancer("my.FIRST-1:a=b zone=c")
    assert given == [{"a": "b", "zone": "c"}]
    assert (balancer.name, balancer.needs_hash_key) == ("my.first-1", False)
    servers = new_servers(3)
    assert picks(balancer.new_picker(servers), 30) == dict.fromkeys(servers, 10)
    with pytest.raises(ValueError, match=r"there are c_ketama, .*my\.first-1"):
        new_load_balancer("x")
    unregister_load_balancer("MY.first-1")
    with pytest.raises(ValueError, match=r"no load balancer 'my\.first-1'"):
        new_load_balancer("my.first-1")
    with pytest.raises(ValueError, match=r"no load balancer 'my\.first-1' was registered"):
        unregister_load_balancer("my.first-1")


@pytest.mark.usefixtures("own_names")
def test_name_that_is_taken_or_wrong_is_refused() -> None:
    factory: Any = RoundRobin
    register_load_balancer("own", factory)
    register_load_balancer("own", factory)
    for name in ("own", "OWN", "rr", "P2C"):
        with pytest.raises(ValueError, match="there is a load balancer"):
            register_load_balancer(name, lambda parameters: factory())
    wrong: Any
    for wrong in ("", "a b", "a:b", "1a", "x" * 65, None):
        with pytest.raises(ValueError, match="has letters, digits"):
            register_load_balancer(wrong, factory)
    with pytest.raises(TypeError, match="factory must be a function"):
        register_load_balancer("other", "rr")  # type: ignore[arg-type]


@pytest.mark.usefixtures("own_names")
def test_factory_that_returns_no_balancer_is_a_type_error() -> None:
    register_load_balancer("own", lambda parameters: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="the factory of load balancer 'own' returned None"):
        new_load_balancer("own")


@pytest.mark.usefixtures("own_names")
def test_factory_that_raises_is_not_caught() -> None:
    def factory(parameters: dict[str, str]) -> LoadBalancer:
        raise ValueError(f"no {sorted(parameters)}")

    register_load_balancer("own", factory)
    with pytest.raises(ValueError, match=r"no \['a'\]"):
        new_load_balancer("own:a=1")
