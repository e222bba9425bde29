"""Commands against a server with TLS."""

from __future__ import annotations

import pytest

from pybrpc.cli.main import main
from tests.peers import tls_echo
from tests.peers.tls import NAME, certificates

pytestmark = pytest.mark.same_everywhere


def test_certificate_of_the_server_is_verified(capsys: pytest.CaptureFixture[str]) -> None:
    with tls_echo.serving() as (_, address):
        trusted = ["--ca", certificates().ca, "--server-name", NAME]
        assert main(["health", address, *trusted]) == 0
        assert main(["health", address, "--tls"]) == 1
        assert main(["health", address]) == 1
    good, unknown, plain = capsys.readouterr().out.splitlines()
    assert good.endswith("healthy: OK")
    assert "CERTIFICATE_VERIFY_FAILED" in unknown or "certificate verify failed" in unknown
    assert "NOT healthy" in plain
