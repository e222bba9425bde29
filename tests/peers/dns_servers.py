"""Real name servers of the system: Dnsmasq, and Bind with dynamic updates. Each has an address of
127.0.0.1 and a free port, and a folder of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from pathlib import Path
from typing import Self

import dns.message
import dns.query
import dns.rcode
import dns.update

from tests.peers.running_program import RunningProgram


def free_udp_port() -> int:
    """One on which nothing listens with TCP either."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            socket.socket() as tcp,
            contextlib.suppress(OSError),  # TCP has this one, so it has to be another
        ):
            udp.bind(("127.0.0.1", 0))
            port: int = udp.getsockname()[1]
            tcp.bind(("127.0.0.1", port))
            return port


class NameServer:
    """A program that answers questions while the `with` runs."""

    def __init__(self, command: list[object], folder: Path, name: str, port: int) -> None:
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self._program = RunningProgram(command, folder, name)

    def __enter__(self) -> Self:
        try:
            self._program.start()
            self._program.wait_until(self._answers, "answering")
        except BaseException:
            self._program.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._program.stop()

    def _answers(self) -> bool:
        question = dns.message.make_query("test", "A")
        try:
            dns.query.udp(question, "127.0.0.1", timeout=0.1, port=self.port)
        except (OSError, dns.exception.Timeout):
            return False
        return True

    def pause(self) -> None:
        """Have it answer nothing any more."""
        os.kill(self._program.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._program.pid, signal.SIGCONT)


class Dnsmasq(NameServer):
    """It knows what `hosts` says, lines as of /etc/hosts, and some SRV records:
    "_echo._tcp.test,target,port,priority,weight"."""

    def __init__(self, folder: Path, hosts: str = "", srv: tuple[str, ...] = ()) -> None:
        port = free_udp_port()
        self._hosts = folder / "hosts"
        self._hosts.write_text(hosts)
        command: list[object] = [
            *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv"),
            *("--no-hosts", "--listen-address=127.0.0.1", "--bind-interfaces", "--user=root"),
            *(f"--port={port}", f"--addn-hosts={self._hosts}", "--local=/test/", "--local-ttl=1"),
            *(f"--srv-host={record}" for record in srv),
            *("--pid-file", "--log-facility=-", "--bogus-priv"),
        ]
        super().__init__(command, folder, "dnsmasq", port)

    def set_hosts(self, hosts: str) -> None:
        self._hosts.write_text(hosts)
        os.kill(self._program.pid, signal.SIGHUP)


BIND_CONFIG = """\
options {{
    directory "{folder}";
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    pid-file "{folder}/named.pid";
    session-keyfile "{folder}/session.key";
    recursion no;
    dnssec-validation no;
    minimal-responses {minimal};
    allow-query {{ any; }};
}};
controls {{ }};
zone "test" {{ type primary; file "{folder}/test.zone"; allow-update {{ 127.0.0.1; }}; }};
zone "broken" {{ type primary; file "{folder}/missing.zone"; }};
"""
BIND_ZONE = """\
$TTL 1
@ IN SOA ns.test. admin.test. 1 60 60 60 1
@ IN NS ns
ns IN A 127.0.0.1
"""


class Bind(NameServer):
    """The zone "test", which `set` changes at once; the zone "broken" answers SERVFAIL."""

    def __init__(self, folder: Path, minimal: bool = False) -> None:
        port = free_udp_port()
        config = folder / "named.conf"
        config.write_text(
            BIND_CONFIG.format(folder=folder, port=port, minimal="yes" if minimal else "no")
        )
        (folder / "test.zone").write_text(BIND_ZONE)
        command: list[object] = ["named", "-f", "-c", config, "-n", 1, "-p", port]
        super().__init__(command, folder, "named", port)

    def set(self, name: str, kind: str, *values: str, ttl: int = 1) -> None:
        """Replace the records of a name that have this type; none: delete them."""
        update = dns.update.UpdateMessage("test")
        update.delete(name, kind)
        for value in values:
            update.add(name, ttl, kind, value)
        answer = dns.query.tcp(update, "127.0.0.1", timeout=10, port=self.port)
        assert answer.rcode() == dns.rcode.NOERROR, answer
