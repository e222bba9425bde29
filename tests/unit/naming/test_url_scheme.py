from __future__ import annotations

import pytest

from pybrpc.naming.url_scheme import is_naming_url


@pytest.mark.parametrize("text", ["list://a:1,b:2", "fIlE:///tmp/x", " my+own-1.x://a://b?c"])
def test_text_with_a_scheme_is_a_url(text: str) -> None:
    assert is_naming_url(text)


@pytest.mark.parametrize(
    "value", ["127.0.0.1:80", "unix:/tmp/x", "://x", "1x://y", "x" * 32 + "://y", "", None, 5]
)
def test_address_of_one_server_is_no_url(value: object) -> None:
    assert not is_naming_url(value)
