"""/flags: shown to all who may, changed by a POST alone."""

from __future__ import annotations

import pytest

from pybrpc.base.flag_values import FLAGS
from pybrpc.base.held_flag import HeldFlag
from pybrpc.builtin.page import PageResponse
from pybrpc.builtin.registry import run_page
from pybrpc.protocols.http1 import HttpHeaders
from tests.fakes.pages import FakeServerView, Markup, request_of

HEADER = HttpHeaders({"X-Pybrpc-Post": "1"})


def refuse_negative(value: int) -> str:
    return "" if value >= 0 else "it is negative"


@pytest.fixture(autouse=True)
def _flags() -> None:
    FLAGS.define("slow_ms", 500, "Calls that last longer are logged", check=refuse_negative)
    FLAGS.define("log_bodies", False, "Bodies are logged")
    FLAGS.define("greeting", "hello", "A text")


def get(target: str, **fields: object) -> PageResponse:
    return run_page(request_of(target, **fields), FakeServerView())


def post(name: str, value: str, **fields: object) -> PageResponse:
    values: dict[str, object] = {"headers": HEADER, "body": f"value={value}".encode()}
    return run_page(request_of(f"/flags/{name}", "POST", **(values | fields)), FakeServerView())


def value_of(name: str) -> object:
    flag = FLAGS.find(name)
    assert flag is not None
    return flag.value


def test_text_is_a_line_for_each_flag() -> None:
    lines = str(get("/flags").body).splitlines()
    assert lines[0] == "Name | Value | Description"
    assert "slow_ms (R) | 500 | Calls that last longer are logged" in lines
    assert "log_bodies (R) | false | Bodies are logged" in lines


@pytest.mark.parametrize(
    ("path", "names"),
    [("slow_ms", ["slow_ms"]), ("slow_m$;log*", ["log_bodies", "slow_ms"])],
)
def test_names_and_patterns(path: str, names: list[str]) -> None:
    lines = str(get(f"/flags/{path}").body).splitlines()[2:]
    assert [line.split()[0] for line in lines] == names


def test_unknown_names() -> None:
    assert get("/flags/nothing").status == 404
    assert post("nothing", "1").status == 404
    assert get("/flags/" + "a*;" * 40).status == 400


@pytest.mark.parametrize("target", ["/flags/slow_ms?setvalue=1", "/flags/slow_ms?setvalue"])
def test_a_get_changes_nothing_and_says_how(target: str) -> None:
    found = get(target)
    assert (found.status, found.headers["Allow"]) == (405, "POST")
    assert "curl -X POST -H 'X-Pybrpc-Post: 1' -d value=VALUE" in str(found.body)
    assert value_of("slow_ms") == 500


def test_a_post_changes_a_flag() -> None:
    found = post("slow_ms", "250")
    assert (found.status, found.body) == (200, "Set `slow_ms' to 250\n")
    assert value_of("slow_ms") == 250
    assert "slow_ms (R) | 250 (default:500) |" in str(get("/flags").body)
    assert post("log_bodies", "ON").body == "Set `log_bodies' to true\n"
    assert post("greeting", "a%20b").body == "Set `greeting' to a b\n"


@pytest.mark.parametrize("value", ["-1", "x", "1.5", "", "9" * 5000])
def test_a_bad_value_changes_nothing(value: str) -> None:
    found = post("slow_ms", value)
    assert found.status == 400
    assert value_of("slow_ms") == 500


def test_a_holder_has_a_flag_be_true_for_a_while() -> None:
    flag = FLAGS.add(HeldFlag("sampling", "Requests are sampled", None))
    first, second = b"holder=a", b"holder=b"
    found = post("sampling", "", body=b"value=true&seconds=30&" + first)
    assert found.body == "Set `sampling' to true for 30 seconds\n"
    assert "sampling (R) | true (default:false) |" in str(get("/flags").body)
    assert post("sampling", "", body=b"value=true&seconds=1e3&" + second).status == 200
    text = str(post("sampling", "", body=b"value=false&" + first).body)
    assert text == "`sampling' is still true: its value is true, or another one holds it\n"
    found = post("sampling", "", body=b"value=false&" + second)
    assert found.body == "Set `sampling' to false\n"
    assert not flag.current()
    found = post("sampling", "", body=b"value=false&" + second)
    assert found.body == "Set `sampling' to false; it was not held until now\n"


@pytest.mark.parametrize(
    "fields", ["value=true", "value=true&seconds=x", "value=true&seconds=nan", "value=&seconds=1"]
)
def test_a_hold_of_no_sense_is_refused(fields: str) -> None:
    flag = FLAGS.add(HeldFlag("sampling", "Requests are sampled", None))
    assert post("sampling", "", body=f"holder=a&{fields}".encode()).status == 400
    assert not flag.current()


def test_a_flag_that_can_not_be_held_says_so() -> None:
    found = post("log_bodies", "", body=b"value=true&holder=a&seconds=1")
    assert (found.status, value_of("log_bodies")) == (400, False)
    assert "it can't be held: leave out the field 'holder'" in str(found.body)


def test_a_form_without_the_field_is_refused() -> None:
    assert post("slow_ms", "1", body=b"other=1").status == 400


def test_immutable_flags_are_shown_and_not_changed() -> None:
    FLAGS.are_immutable = True
    assert post("slow_ms", "1").status == 403
    markup = Markup(str(get("/flags", wants_html=True).body))
    assert not [name for name, _ in markup.elements if name == "form"]
    assert "500" in markup.text


def test_a_form_of_the_page_changes_a_flag() -> None:
    markup = Markup(str(get("/flags/log_bodies?withform", wants_html=True).body))
    assert markup.values_of("action") == ["/flags/log_bodies"]
    (token,) = [found["value"] for name, found in markup.elements if found.get("name") == "token"]
    body = f"token={token}&value=true".encode()
    found = post("log_bodies", "", headers=HttpHeaders(), body=body, wants_html=True)
    assert "Set `log_bodies&#x27; to true" in str(found.body)
    assert value_of("log_bodies") is True
    assert get("/flags/log_bodies?withform").status == 200


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
def test_a_function_of_a_flag_may_raise_anything(error: type[BaseException]) -> None:
    def fail(value: int) -> None:
        raise error("secret")

    FLAGS.define("broken", 1, "x", on_change=fail)
    found = post("broken", "2")
    assert (found.status, value_of("broken")) == (500, 1)
    assert "secret" not in str(found.body)
