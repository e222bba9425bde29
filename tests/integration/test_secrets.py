"""Credentials and passwords are in no repr, no line of a log and no text of an error."""

from __future__ import annotations

import dataclasses
import gc
import logging
import ssl
import traceback
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.client.channel.options import ChannelSettings
from pybrpc.client.connections.connection_factory import ConnectionFactory
from pybrpc.errors import PyBrpcError
from pybrpc.protocols.message import BadMessage, OversizedMessage, RpcRequest
from pybrpc.protocols.redis import RedisLogin
from pybrpc.redis import RedisChannel
from pybrpc.redis.redis_options import RedisSettings
from pybrpc.rpc.authenticator import AuthContext
from pybrpc.server.settings import ServerSettings
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import Peer, ScriptedServer
from tests.peers.serving import Gate, make_server, start
from tests.peers.tls import certificates

SECRET = "s3cret-of-the-test"


@dataclasses.dataclass(frozen=True)
class TokenAuth:
    """An authenticator as people write it: its own repr shows the token."""

    token: str = SECRET

    def generate_credential(self) -> bytes:
        return self.token.encode()

    def verify_credential(self, credential: bytes, client: pybrpc.Endpoint) -> AuthContext:
        if credential != self.token.encode():
            raise pybrpc.errors.AuthenticationError("not known here")
        return AuthContext(user="alice")


def objects_that_show_it() -> list[str]:
    """The types of the objects of pybrpc, in this process now, whose repr shows the secret."""
    gc.collect()
    ours = [one for one in gc.get_objects() if str(type(one).__module__).startswith("pybrpc.")]
    assert len(ours) > 50
    return [type(one).__qualname__ for one in ours if SECRET in repr(one)]


def encrypted_key(path: Path) -> tuple[str, str]:
    """A certificate, and its key, encrypted with the secret."""
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    files = certificates().client
    key = serialization.load_pem_private_key(Path(files.key).read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(SECRET.encode())
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(pem, form, encryption))
    return files.cert, str(path)


def test_no_object_of_a_call_in_flight_shows_credential_or_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cert, key = encrypted_key(tmp_path / "key.pem")
    made, gate = certificates(), Gate()
    tls = made.client_tls(cert=cert, key=key, key_password=SECRET)
    server_tls = made.server_tls(client_ca=made.ca, cert=cert, key=key, key_password=SECRET)
    with caplog.at_level(logging.DEBUG):
        with make_server(gate, auth=TokenAuth(), tls=server_tls) as server:
            options: Any = {"auth": TokenAuth(), "timeout": 30, "connect_timeout": 30}
            tls = dataclasses.replace(tls, server_name="client.test")
            with pybrpc.Channel(str(start(server)), tls=tls, **options) as channel:
                controller = pybrpc.Controller()
                call = pybrpc.Stub(ECHO, channel).Echo.future(echo_request(), controller=controller)
                gate.wait_entered()
                shown = objects_that_show_it()
                gate.open()
                assert call.result().message == "hello"
    assert shown == []
    assert SECRET not in caplog.text


def test_no_options_show_an_authenticator_or_a_password() -> None:
    assert SECRET in repr(TokenAuth())
    pytest.importorskip("hiredis")
    endpoint = pybrpc.Endpoint("127.0.0.1", 1)
    for options in (
        ChannelSettings.of({"auth": TokenAuth()}),
        ConnectionFactory(endpoint, auth=TokenAuth()),
        RedisSettings.of({"password": SECRET}),
        RedisSettings.of({"password": SECRET}).connection_factory(ConnectionFactory(endpoint)),
        ServerSettings(auth=TokenAuth()),
        RpcRequest(1, "service", "method", credential=SECRET.encode()),
        BadMessage(1, True, "no", SECRET.encode()),
        OversizedMessage(1, True, 2, 1, SECRET.encode()),
    ):
        assert SECRET not in repr(options), type(options)


def test_no_error_shows_what_an_authenticator_returned() -> None:
    class Text(TokenAuth):
        def generate_credential(self) -> Any:
            return self.token

    with make_server(auth=TokenAuth()) as server:
        with pybrpc.Channel(str(start(server)), auth=Text(), timeout=30) as channel:
            with pytest.raises(
                pybrpc.errors.AuthenticationError, match="a str is not bytes"
            ) as why:
                pybrpc.Stub(ECHO, channel).Echo(echo_request())
    assert SECRET not in "".join(traceback.format_exception(why.value))


def refuse_a_command_that_is_not_known(peer: Peer) -> None:
    """As a Redis in which AUTH has another name: the arguments are in the text."""
    data = peer.sock.recv(1000)
    if not data:
        return  # made to see whether the endpoint is up again, and closed with the channel
    assert SECRET.encode() in data
    peer.send(
        f"-ERR unknown command 'AUTH', with args beginning with: '{SECRET}' \r\n".encode() * 2
    )
    peer.sock.recv(1000)


def test_login_to_redis_that_fails_shows_no_password(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("hiredis")
    with caplog.at_level(logging.DEBUG), ScriptedServer(refuse_a_command_that_is_not_known) as peer:
        options: Any = {"password": SECRET, "protocol": 2, "timeout": 30, "max_retry": 0}
        with RedisChannel(peer.address, **options) as channel:
            with pytest.raises(PyBrpcError, match=r"beginning with: \.\.\.") as why:
                channel.execute("PING")
            assert SECRET not in repr(channel)
            assert SECRET not in repr(RedisLogin(password=SECRET))
            assert objects_that_show_it() == []
    assert SECRET not in "".join(traceback.format_exception(why.value)) + caplog.text


@pytest.mark.parametrize(
    "address",
    [
        f"redis://user:{SECRET}@10.0.0.7:6379/0",
        f"redis://:{SECRET}@10.0.0.7",
        f"user:{SECRET}@10.0.0.7:6379",
        f"{SECRET}@10.0.0.7:6379",
        f"redis://10.0.0.7:6379/0?password={SECRET}",
        f"user:{SECRET}@x@10.0.0.7:port",
    ],
)
def test_address_with_a_password_is_refused_without_it(address: str) -> None:
    for make in (pybrpc.Channel, pybrpc.Server().start):
        with pytest.raises(pybrpc.errors.AddressError) as why:
            make(address)
        assert SECRET not in str(why.value)


@pytest.mark.parametrize("auth", [SECRET, SECRET.encode()])
def test_credential_in_place_of_an_authenticator_is_refused_without_it(auth: Any) -> None:
    for make in (
        lambda: pybrpc.Channel("127.0.0.1:1", auth=auth),
        lambda: pybrpc.Server(auth=auth),
    ):
        with pytest.raises(TypeError) as why:
            make()
        assert SECRET not in str(why.value)


def test_key_that_can_not_be_decrypted_shows_no_password(tmp_path: Path) -> None:
    cert, key = encrypted_key(tmp_path / "key.pem")
    wrong = f"not {SECRET}"
    for make in (
        lambda: pybrpc.Channel(
            "127.0.0.1:1", tls=pybrpc.ClientTls(cert=cert, key=key, key_password=wrong)
        ),
        lambda: pybrpc.Server(tls=pybrpc.ServerTls(cert=cert, key=key, key_password=wrong)),
    ):
        with pytest.raises(pybrpc.errors.TlsConfigError) as why:
            make()
        assert SECRET not in "".join(traceback.format_exception(why.value))
    assert isinstance(why.value.__cause__, ssl.SSLError | OSError)
