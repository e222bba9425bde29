"""Load balancers by their names: those of bRPC, ours, and those of applications.

The option `load_balancer` is "name", or "name:key=value key=value". The case of names does not
matter. All balancers, but not those of applications' own making, have these parameters:

| parameter | meaning |
|---|---|
| `zone`, `zone_clients` | prefer the servers of a zone; the part of all clients that is in it |
| `subset`, `client`, `clients` | use so many servers; the number of this client, from 0; how many |
| `min_working_instances`, `hold_seconds` | reject calls while a cluster comes back (bRPC's) |
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pybrpc.base.checked_options import shown
from pybrpc.client.cluster.balancing.cluster_recover import RecoveringBalancer
from pybrpc.client.cluster.balancing.hashing.consistent_hashing import ConsistentHashing
from pybrpc.client.cluster.balancing.hashing.maglev import Maglev
from pybrpc.client.cluster.balancing.load_balancer import LoadBalancer
from pybrpc.client.cluster.balancing.locality_aware import LocalityAware
from pybrpc.client.cluster.balancing.parameters import (
    Parse,
    any_text,
    listed,
    number,
    parsed,
    split_spec,
    whole,
)
from pybrpc.client.cluster.balancing.power_of_choices import (
    MAX_CHOICES,
    P2cSettings,
    PowerOfChoices,
)
from pybrpc.client.cluster.balancing.randomized import Randomized, WeightedRandomized
from pybrpc.client.cluster.balancing.round_robin import RoundRobin
from pybrpc.client.cluster.balancing.subsets import (
    SubsetBalancer,
    aperture,
    random_subset,
    shuffled_subset,
)
from pybrpc.client.cluster.balancing.user_balancer import UserBalancer
from pybrpc.client.cluster.balancing.weighted_round_robin import WeightedRoundRobin
from pybrpc.client.cluster.balancing.weights import weigh_by_share, weigh_by_tag
from pybrpc.client.cluster.balancing.zones import ZoneBalancer
from pybrpc.metrics.features import FEATURES

DEFAULT = "p2c_ewma"
"""The balancer of a channel that names none."""
MAX_CLIENTS = 10**7
MAX_REPLICAS = 10_000
MAX_SUBSET = 10**6
MAX_TABLE_SIZE = 5_000_011
MAX_WEIGHT = 10**9
_LONGEST_MS = 10**10

Source = random.Random | None
Build = Callable[[dict[str, Any], Source], LoadBalancer]
Factory = Callable[[dict[str, str]], LoadBalancer]
"""Gets the parameters as texts. It should raise a ValueError for one that it does not know."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A balancer of this package."""

    build: Build
    parameters: Mapping[str, Parse]
    may_have_subset: bool = True
    build_of_parts: Build | None = None
    """For servers of which a subset has a part; `None`: as for whole ones."""


def _prime(text: str) -> int:
    value = int(whole(2, MAX_TABLE_SIZE)(text))
    if any(value % divisor == 0 for divisor in range(2, int(value**0.5) + 1)):
        raise ValueError("it must be a prime number")
    return value


def _replicas_of_ketama(text: str) -> int:
    value = int(whole(4, MAX_REPLICAS)(text))
    if value % 4:
        raise ValueError("it must be a multiple of 4")
    return value


def _new_p2c(name: str) -> Build:
    def build(values: dict[str, Any], source: Source) -> LoadBalancer:
        default = P2cSettings()
        settings = P2cSettings(
            values.get("choices", default.choices),
            values.get("tau_ms", default.tau_s * 1e3) / 1e3,
            values.get("max_punish_ms", default.max_punish_s * 1e3) / 1e3,
        )
        return PowerOfChoices(name, settings, source)

    return build


def _new_hashing(name: str) -> Build:
    def build(values: dict[str, Any], _: Source) -> LoadBalancer:
        return ConsistentHashing(name, **values)

    return build


_P2C: dict[str, Parse] = {
    "choices": whole(2, MAX_CHOICES),
    "max_punish_ms": whole(0, _LONGEST_MS),
    "tau_ms": whole(1, _LONGEST_MS),
}
_REPLICAS: dict[str, Parse] = {"replicas": whole(1, MAX_REPLICAS)}
_DEFAULT_WEIGHT: dict[str, Parse] = {"default_weight": number(0, MAX_WEIGHT)}


def _new_wr(values: dict[str, Any], source: Source) -> LoadBalancer:
    return WeightedRandomized(weigh_by_tag(values.get("default_weight", 0.0)), source)


def _new_wrr(values: dict[str, Any], source: Source) -> LoadBalancer:
    return WeightedRoundRobin(weigh_by_tag(values.get("default_weight", 0.0)), source)


def _new_bounded(values: dict[str, Any], _: Source) -> LoadBalancer:
    return ConsistentHashing("c_murmurhash_bl", **{"load_factor": 1.25, **values})


KINDS: dict[str, Kind] = {
    "c_ketama": Kind(_new_hashing("c_ketama"), {"replicas": _replicas_of_ketama}, False),
    "c_md5": Kind(_new_hashing("c_md5"), _REPLICAS, False),
    "c_murmurhash": Kind(_new_hashing("c_murmurhash"), _REPLICAS, False),
    "c_murmurhash_bl": Kind(_new_bounded, {"load_factor": number(1, 100), **_REPLICAS}, False),
    "la": Kind(lambda _, source: LocalityAware(source), {}),
    "maglev": Kind(lambda values, _: Maglev(**values), {"table_size": _prime}, False),
    "p2c": Kind(_new_p2c("p2c"), _P2C),
    "p2c_ewma": Kind(_new_p2c("p2c_ewma"), _P2C),
    "random": Kind(
        lambda _, source: Randomized(source),
        {},
        build_of_parts=lambda _, source: WeightedRandomized(weigh_by_share, source),
    ),
    "rr": Kind(
        lambda _, source: RoundRobin(source),
        {},
        build_of_parts=lambda _, source: WeightedRoundRobin(weigh_by_share, source),
    ),
    "wr": Kind(_new_wr, _DEFAULT_WEIGHT),
    "wrr": Kind(_new_wrr, _DEFAULT_WEIGHT),
}

_ZONE: dict[str, Parse] = {"zone": any_text, "zone_clients": number(0, 1)}
_SUBSET: dict[str, Parse] = {
    "subset": whole(1, MAX_SUBSET),
    "client": whole(0, MAX_CLIENTS),
    "clients": whole(1, MAX_CLIENTS),
}
_RECOVER: dict[str, Parse] = {
    "min_working_instances": whole(1, MAX_SUBSET),
    "hold_seconds": whole(1, 10**6),
}

_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_factories: dict[str, Factory] = {}


def register_load_balancer(name: str, factory: Factory) -> None:
    """Make the balancers of an application usable as `load_balancer="name"`.

    `factory` gets the parameters behind the name, as texts, and returns a `LoadBalancer`, for each
    channel another one. Any thread; does not block. ValueError for a name that another factory or a
    balancer of this package has, or that is not made of letters, digits, "_", "-" and ".";
    TypeError if `factory` can't be called.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name.lower()):
        raise ValueError(
            f"the name of a load balancer has letters, digits, '_', '-' and '.', not {name!r}"
        )
    if not callable(factory):
        raise TypeError(f"factory must be a function, not {factory!r}")
    name = name.lower()
    # One step, so that no lock is needed, which a forked child could find held.
    if name in KINDS or _factories.setdefault(name, factory) is not factory:
        raise ValueError(f"there is a load balancer {name!r} already")


def unregister_load_balancer(name: str) -> None:
    """Forget the balancers of an application of this name; channels keep those that they have.
    ValueError if none was registered."""
    if _factories.pop(str(name).lower(), None) is None:
        raise ValueError(f"no load balancer {name!r} was registered")


def load_balancer_names() -> list[str]:
    """The names that the option `load_balancer` knows, in the order of the alphabet."""
    return sorted([*KINDS, *_factories])


def new_load_balancer(text: str = DEFAULT, source: Source = None) -> LoadBalancer:
    """The balancer that the option `load_balancer` names, for one channel.

    ValueError that lists what there is if the name or a parameter is unknown, or a value is wrong;
    TypeError if `text` is no string, or the factory of an application returns no balancer. What
    that factory raises is not caught. `source`: where random numbers come from, if not from
    `random`.
    """
    name, texts = split_spec(text)
    factory = _factories.get(name)
    if factory is not None:
        return _of_application(name, factory(texts))
    kind = KINDS.get(name)
    if kind is None:
        raise ValueError(
            f"there is no load balancer {name!r}; there are {listed(load_balancer_names())}"
        )
    known = {**kind.parameters, **_ZONE, **_RECOVER, **(_SUBSET if kind.may_have_subset else {})}
    values = parsed(name, texts, known)
    own = {key: value for key, value in values.items() if key in kind.parameters}
    _check_together(name, values)
    subset, client, clients = (values.get(key) for key in _SUBSET)
    build = kind.build
    if clients is not None and kind.build_of_parts is not None:
        build = kind.build_of_parts

    def new() -> LoadBalancer:
        return build(own, source)

    balancer: LoadBalancer
    if "zone" in values:
        balancer = ZoneBalancer(new, values["zone"], values.get("zone_clients", 0.0), source)
    else:
        balancer = new()
    if subset is not None:
        balancer = SubsetBalancer(balancer, _chooser(subset, client, clients, source))
    if "min_working_instances" in values:
        needed, hold_s = values["min_working_instances"], float(values["hold_seconds"])
        balancer = RecoveringBalancer(balancer, needed, hold_s, source)
    return balancer


def _of_application(name: str, made: Any) -> LoadBalancer:
    if not callable(getattr(made, "new_picker", None)):
        raise TypeError(f"the factory of load balancer {name!r} returned {shown(made)}")
    return UserBalancer(name, made)


def _check_together(name: str, values: dict[str, Any]) -> None:
    """ValueError for parameters that need another one."""
    for key, needed in (
        ("zone_clients", "zone"),
        ("client", "subset"),
        ("clients", "client"),
        ("min_working_instances", "hold_seconds"),
        ("hold_seconds", "min_working_instances"),
    ):
        if key in values and needed not in values:
            raise ValueError(f"load balancer {name!r}: {key} needs {needed} too")
    if values.get("client", 0) >= values.get("clients", MAX_CLIENTS + 1):
        raise ValueError(f"load balancer {name!r}: client must be less than clients")


def _chooser(size: int, client: int | None, clients: int | None, source: Source) -> Any:
    if client is None:
        seed = random.getrandbits(64) if source is None else source.getrandbits(64)
        return random_subset(size, seed)
    if clients is None:
        return shuffled_subset(size, client)
    return aperture(size, client, clients)


FEATURES["rpc_load_balancer"] = lambda: " ".join(load_balancer_names())
