"""/vars: the text that scripts read, series, and tables."""

from __future__ import annotations

import json

import pytest

from pybrpc import metrics
from pybrpc.builtin.page import HTML, JSON, TEXT
from pybrpc.builtin.registry import run_page
from pybrpc.metrics.registry import Display
from tests.fakes.metrics import SteppedSampler, hide_all
from tests.fakes.pages import FakeServerView, Markup, request_of


@pytest.fixture(autouse=True)
def _variables(sampler: SteppedSampler) -> None:
    metrics.Status(1, "rpc_socket_count")
    metrics.Status(2, "rpc_server_8000_error_count")
    metrics.Status("12.2.0", "gcc_version")
    metrics.Status(0.5, "iobuf_block_ratio")
    metrics.Status("two\nlines", "kernel_version")


def body(target: str, **fields: object) -> str:
    return str(run_page(request_of(target, **fields), FakeServerView()).body)


def status(target: str, **fields: object) -> int:
    return run_page(request_of(target, **fields), FakeServerView()).status


def test_text_is_a_line_for_each_variable() -> None:
    assert body("/vars") == (
        'gcc_version : "12.2.0"\n'
        "iobuf_block_ratio : 0.5\n"
        'kernel_version : "two\\nlines"\n'
        "rpc_server_8000_error_count : 2\n"
        "rpc_socket_count : 1\n"
    )


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("rpc_socket_count", ["rpc_socket_count"]),
        ("rpc_server*_count;iobuf_blo$k_*", ["iobuf_block_ratio", "rpc_server_8000_error_count"]),
        ("gcc_version,rpc_s*", ["gcc_version", "rpc_server_8000_error_count", "rpc_socket_count"]),
        ("rpc%5Fsocket%5Fcount", ["rpc_socket_count"]),
        ("gcc_version%3Brpc_socket_count", ["gcc_version", "rpc_socket_count"]),
    ],
)
def test_names_and_patterns(path: str, names: list[str]) -> None:
    for is_html in (False, True):
        text = body(f"/vars/{path}", wants_html=is_html)
        if is_html:
            assert Markup(text).values_of("data-var") == names
        else:
            assert [line.split(" : ")[0] for line in text.splitlines()] == names


def test_a_path_without_a_variable_is_404() -> None:
    assert status("/vars/nothing*") == 404
    assert body("/vars/nothing") == "Fail to find any bvar by `nothing'\n"
    hide_all()
    assert (status("/vars"), body("/vars")) == (200, "")


def test_patterns_are_bounded() -> None:
    assert status("/vars/" + "a*;" * 33) == 400
    assert status("/vars/" + "a" * 2000) == 400


def test_a_filter_is_a_part_of_the_name() -> None:
    assert body("/vars?filter=BLOCK") == "iobuf_block_ratio : 0.5\n"
    assert body("/vars?filter=nothing") == ""


def test_series_are_json_of_174_points(sampler: SteppedSampler) -> None:
    body("/vars", wants_html=True)
    sampler.pass_seconds(3)
    found = run_page(request_of("/vars/rpc_socket_count?series"), FakeServerView())
    assert found.content_type == JSON
    data = json.loads(found.body)["data"]
    assert len(data) == 174
    assert [value for _, value in data[-3:]] == [1, 1, 1]
    for name in ("gcc_version_x", "rpc_*"):
        assert status(f"/vars/{name}?series") == 404


def test_data_alone_is_a_table_without_a_page() -> None:
    found = run_page(request_of("/vars?dataonly", wants_html=True), FakeServerView())
    assert found.content_type == HTML
    assert not [name for name, _ in Markup(str(found.body)).elements if name == "html"]
    assert body("/vars?dataonly") == body("/vars")


def test_numbers_have_plots_and_texts_have_none(sampler: SteppedSampler) -> None:
    markup = Markup(body("/vars?expand", wants_html=True))
    assert markup.values_of("data-series") == [
        "iobuf_block_ratio",
        "rpc_server_8000_error_count",
        "rpc_socket_count",
    ]
    one = Markup(body("/vars/rpc_socket_count", wants_html=True))
    assert one.values_of("data-series") == ["rpc_socket_count"]
    assert one.values_of("data-live") == ["/vars/rpc_socket_count?console=1"]
    assert Markup(body("/vars", wants_html=True)).values_of("data-series") == []


def test_only_some_plots_are_on_one_page() -> None:
    for number in range(40):
        metrics.Adder(f"many_{number}")
    assert len(Markup(body("/vars?expand", wants_html=True)).values_of("data-series")) <= 16


def test_each_place_has_its_variables() -> None:
    metrics.Status(1).expose("for_text", display=Display.PLAIN_TEXT)
    metrics.Status(1).expose("for_html", display=Display.HTML)
    assert "for_text" in body("/vars")
    assert "for_html" not in body("/vars")
    assert "for_html" in body("/vars", wants_html=True)


def test_a_function_that_raises_spoils_no_other_variable() -> None:
    def fail() -> int:
        raise SystemExit("secret")

    metrics.PassiveStatus(fail, "broken")
    text = body("/vars")
    assert 'broken : "raised SystemExit"\n' in text
    assert "rpc_socket_count : 1\n" in text


def test_content_types() -> None:
    assert run_page(request_of("/vars"), FakeServerView()).content_type == TEXT
    assert run_page(request_of("/vars", wants_html=True), FakeServerView()).content_type == HTML
