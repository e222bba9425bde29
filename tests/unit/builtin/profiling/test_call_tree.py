"""Trees of stacks, and what functions cost."""

from __future__ import annotations

from pybrpc.builtin.profiling.call_tree import Node, call_tree, costs_of_functions
from tests.fakes.profiles import profile_of


def shape(node: Node) -> object:
    return node.name[0], node.value, [shape(child) for child in node.ordered()]


def test_a_tree_has_the_sums_of_its_stacks() -> None:
    root = call_tree(profile_of({"main;work;read": 5, "main;work": 2, "main;idle": 20}))
    work = ("work", 7, [("read", 5, [])])
    assert shape(root) == ("all (cpu)", 27, [("main", 27, [("idle", 20, []), work])])


def test_lines_of_a_function_are_a_range() -> None:
    node = Node(("f", "x.py"))
    for line in (12, 7, 30):
        node.saw(line)
    assert node.lines == (7, 30)


def test_thread_and_task_are_frames_if_wanted() -> None:
    profile = profile_of({"main": 3}, thread="worker-*", task="refresh")
    task = ("task refresh", 3, [("main", 3, [])])
    assert shape(call_tree(profile)) == ("all (cpu)", 3, [task])
    thread = ("thread worker-*", 3, [task])
    assert shape(call_tree(profile, by_thread=True)) == ("all (cpu)", 3, [thread])


def test_a_base_is_scaled_to_the_same_time() -> None:
    base = profile_of({"main;old": 4, "main;new": 2}, duration_s=5.0)
    root = call_tree(profile_of({"main;new": 10}, duration_s=10.0), base)
    main = root.ordered()[0]
    assert (root.base, main.base) == (12.0, 12.0)
    assert {node.name[0]: (node.value, node.base) for node in main.ordered()} == {
        "new": (10, 4.0),
        "old": (0, 8.0),
    }


def test_moments_are_not_scaled() -> None:
    base = profile_of({"main": 4}, kind="heap", duration_s=0.0)
    root = call_tree(profile_of({"main": 8}, kind="heap", duration_s=0.0), base)
    assert root.base == 4.0


def test_what_was_freed_is_not_in_the_tree() -> None:
    root = call_tree(profile_of({"main;grown": 10, "main;freed": -30}, kind="growth"))
    assert shape(root) == ("all (growth)", 10, [("main", 10, [("grown", 10, [])])])


def test_recursion_counts_once() -> None:
    costs = costs_of_functions(profile_of({"f;f;f": 10, "f;g": 5}))
    found = {name[0]: (cost.own, cost.total) for name, cost in costs.items()}
    assert found == {"f": (10, 15), "g": (5, 5)}


def test_costs_are_compared_with_a_base() -> None:
    base = profile_of({"f;g": 3}, duration_s=5.0)
    costs = costs_of_functions(profile_of({"f": 10}), base)
    found = {name[0]: (cost.base_own, cost.base_total) for name, cost in costs.items()}
    assert found == {"f": (0.0, 6.0), "g": (6.0, 6.0)}
