"""All pickers have these rules for a list without a good server."""

from __future__ import annotations

from pybrpc.client.cluster.balancing.base_picker import BasePicker
from tests.fakes.clusters import new_servers


def test_last_resort_is_a_server_that_was_not_tried() -> None:
    one, other, third = new_servers(3)
    picker = BasePicker([one, other, third])
    one.is_usable = False
    assert picker.last_resort(()) is other
    assert picker.last_resort((other,)) is third
    assert picker.candidates((other,)) == [third]


def test_last_resort_is_then_the_server_that_was_tried_longest_ago() -> None:
    one, other, third = new_servers(3)
    picker = BasePicker([one, other, third])
    third.is_usable = False
    assert picker.last_resort((third, other, one)) is other
    assert picker.pick((other, one), None, 0.0) is other


def test_last_resort_is_nothing_if_none_is_usable() -> None:
    servers = new_servers(2)
    for server in servers:
        server.is_usable = False
    assert BasePicker(servers).last_resort((servers[0],)) is None
    assert BasePicker([]).last_resort(()) is None
