"""ClientTls and ServerTls: values that say early what is wrong with them."""

from __future__ import annotations

import pathlib
import ssl

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import PyBrpcError, TlsConfigError
from pybrpc.transport.tls.client_tls import ClientTls
from pybrpc.transport.tls.contexts import load_certificate, new_context
from pybrpc.transport.tls.server_tls import ServerTls, ServerTlsContexts
from tests.peers.tls import certificates

SOMEWHERE = Endpoint("10.0.0.1", 80)
OWN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def test_equal_options_are_equal_keys() -> None:
    first = ClientTls(ca=pathlib.Path("/a"), alpn=["h2"])
    assert first == ClientTls(ca="/a", alpn=("h2",))
    assert len({first, ClientTls(ca="/a", alpn=("h2",)), ClientTls(ca="/b")}) == 2
    one = ServerTls("c", "k", sni={"a.test": (pathlib.Path("x"), None)})
    assert len({one, ServerTls("c", "k", sni={"a.test": ("x", None)}), ServerTls("c")}) == 2


def test_passwords_are_not_shown() -> None:
    assert "secret" not in repr(ClientTls(cert="c", key_password="secret"))
    assert "secret" not in repr(ServerTls("c", key_password="secret"))


@pytest.mark.parametrize(
    ("given", "made"),
    [(None, None), (False, None), (True, ClientTls()), (OWN, ClientTls(context=OWN))],
)
def test_client_tls_has_short_forms(given: object, made: ClientTls | None) -> None:
    assert ClientTls.of(given) == made  # type: ignore[arg-type]
    assert ClientTls.of(ClientTls()) == ClientTls()


def test_server_tls_has_short_forms() -> None:
    assert ServerTls.of(OWN) == ServerTls(context=OWN)
    assert ServerTls.of(ServerTls("c")) == ServerTls("c")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ClientTls(key="k"), "give cert too"),
        (lambda: ClientTls(ca=3), "ca must be the path of a PEM file, not 3"),
        (lambda: ClientTls(verify=False, ca="x"), "leave it out"),
        (lambda: ClientTls(context=OWN, ca="x"), "either a context or files"),
        (lambda: ClientTls(context=OWN, verify=False), "either a context or files"),
        (lambda: ClientTls(alpn="h2"), "alpn is a list of names"),
        (lambda: ClientTls(alpn=[""]), "1 to 255 bytes"),
        (lambda: ClientTls.of("yes"), "must be a ClientTls, an ssl.SSLContext or True"),
        (lambda: ServerTls(), "needs either a certificate"),
        (lambda: ServerTls("c", context=OWN), "needs either a certificate"),
        (lambda: ServerTls(context=OWN, client_ca="x"), "either a context or files"),
        (lambda: ServerTls("c", require_client_cert=True), "needs client_ca"),
        (lambda: ServerTls("c", sni={"a": "b"}), r"sni is \{name: \(cert, key\)\}"),
        (lambda: ServerTls("c", sni=3), r"sni is \{name"),
        (lambda: ServerTls.of(True), "must be a ServerTls or an ssl.SSLContext"),
    ],
)
def test_options_that_make_no_sense(make: object, text: str) -> None:
    with pytest.raises(TlsConfigError, match=text) as caught:
        make()  # type: ignore[operator]
    assert isinstance(caught.value, PyBrpcError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ClientTls(verify=0), "verify must be True or False, not 0"),
        (lambda: ClientTls(server_name=3), "server_name must be a string or None, not an int"),
        (lambda: ClientTls(key_password=1234), "key_password must be a string or None, not an int"),
        (lambda: ClientTls(context="x"), "context must be an ssl.SSLContext or None, not 'x'"),
        (lambda: ClientTls(alpn=3), "alpn must be a list of names, not 3"),
        (lambda: ServerTls("c", allow_plaintext=None), "allow_plaintext must be True or False"),
        (lambda: ServerTls("c", require_client_cert="no"), "require_client_cert must be True, Fa"),
        (lambda: ServerTls("c", key_password=b"x"), "key_password must be a string or None"),
        (lambda: ServerTls(context=OWN.wrap_bio), "context must be an ssl.SSLContext or None"),
    ],
)
def test_values_of_other_types_are_type_errors(make: object, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ca": "/no/such/file"}, "authorities of TLS from /no/such/file: No such file"),
        ({"ca": __file__}, "authorities of TLS from .*: no certificate or crl found"),
        ({"cert": "/no/such/file"}, "certificate of TLS from /no/such/file: No such file"),
        ({"cert": __file__}, "certificate of TLS from .*: "),
        ({"server_name": ""}, "can't be the name of a server"),
        ({"server_name": "a" * 300}, "can't be the name of a server"),
    ],
)
def test_files_that_can_not_be_loaded_are_refused(options: dict[str, str], text: str) -> None:
    with pytest.raises(TlsConfigError, match=text):
        ClientTls(**options).check(SOMEWHERE)  # type: ignore[arg-type]


def test_a_unix_address_has_no_name_to_verify() -> None:
    unix = Endpoint("unix:/run/a.sock", 0)
    with pytest.raises(TlsConfigError, match=r"the server at unix:.*give server_name"):
        ClientTls().check(unix)
    ClientTls(server_name="a.test").check(unix)
    ClientTls(verify=False).check(unix)


def test_an_authority_may_be_a_directory(tmp_path: pathlib.Path) -> None:
    ClientTls(ca=tmp_path).check(SOMEWHERE)


def test_an_encrypted_key_needs_its_password() -> None:
    """Without one, ssl would ask on the terminal and block."""
    files = certificates().encrypt_key(certificates().server, "secret")
    ServerTlsContexts(ServerTls(files.cert, files.key, key_password="secret"))
    with pytest.raises(TlsConfigError, match="is encrypted; give key_password"):
        ServerTlsContexts(ServerTls(files.cert, files.key))
    with pytest.raises(TlsConfigError, match="Fail to load the certificate"):
        ServerTlsContexts(ServerTls(files.cert, files.key, key_password="wrong"))


def test_certificate_and_key_may_be_in_one_file(tmp_path: pathlib.Path) -> None:
    both = tmp_path / "both.pem"
    files = certificates().server
    both.write_text(pathlib.Path(files.cert).read_text() + pathlib.Path(files.key).read_text())
    ServerTlsContexts(ServerTls(both))
    load_certificate(new_context(ssl.PROTOCOL_TLS_SERVER, ()), str(both), None, None)


def test_contexts_are_made_once_for_equal_options_and_refuse_what_is_old() -> None:
    options = certificates().client_tls()
    layers = [options.layer_to(SOMEWHERE) for _ in range(2)]
    contexts = {layer._object.context for layer in layers}
    assert len(contexts) == 1
    (context,) = contexts
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_a_context_of_the_users_own_is_reloaded_by_the_user() -> None:
    contexts = ServerTlsContexts(ServerTls(context=certificates().server_context()))
    with pytest.raises(TlsConfigError, match="yourself"):
        contexts.reload()
    assert "ServerTlsContexts of ServerTls" in repr(contexts)
