"""Numbers on the command line that are too large."""

from __future__ import annotations

import pytest

from pybrpc.cli.main import main

pytestmark = pytest.mark.same_everywhere


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["view", "127.0.0.1:1", "x", "--watch", "1e300"], "at most 1000000000"),
        (["top", "127.0.0.1:1", "--interval", "1e300"], "at most 1000000000"),
        (["dump", "127.0.0.1:1", "--duration", "1e10"], "at most 1000000000"),
        (["health", "127.0.0.1:1", "--timeout", "inf"], "at most 1000000000"),
        (["press", "127.0.0.1:1", "Echo", "--connections", "99999999"], "at most 10000"),
        (["press", "127.0.0.1:1", "Echo", "--connections", "9" * 5000], "from 1 on"),
    ],
)
def test_number_that_is_too_large_is_told(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert text in capsys.readouterr().err
