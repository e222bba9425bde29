"""A host that can vanish: a network namespace, to which a pair of virtual interfaces leads.

Only for root on Linux. Once it has vanished nothing comes from there any more, no FIN, no RST and
no ACK, as after a power failure or when a NAT has forgotten a connection.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

_NETWORK = ipaddress.ip_address("198.18.0.0") + 4 * (os.getpid() % 2**15)
"""Of four addresses in the range for benchmarks (RFC 2544). Each process has its own."""

NEAR_IP, FAR_IP = str(_NETWORK + 1), str(_NETWORK + 2)


def can_make_hosts() -> bool:
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"pybrpc-probe-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        return False
    return subprocess.run(["ip", "netns", "del", name], capture_output=True).returncode == 0


class Host:
    """Reached at FAR_IP; reaches this machine at NEAR_IP."""

    def __init__(self, name: str) -> None:
        self.name = name

    @contextlib.contextmanager
    def running(self, code: str, *arguments: str) -> Iterator[str]:
        """Run Python code over there until the `with` ends; gives the first line that it prints.

        The code ends when its standard input does.
        """
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.name, sys.executable, "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdout is not None
        with process:
            try:
                yield process.stdout.readline().strip()
            finally:
                process.kill()

    def vanish(self) -> None:
        """Nothing comes from there any more."""
        _ip("-n", self.name, "route", "add", "blackhole", f"{NEAR_IP}/32")


@contextlib.contextmanager
def other_host() -> Iterator[Host]:
    name = f"pybrpc-{os.getpid()}"
    near, far = f"pbn{os.getpid()}", f"pbf{os.getpid()}"
    with contextlib.ExitStack() as stack:
        _ip("netns", "add", name)
        stack.callback(_ip, "netns", "del", name)
        _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
        # By itself it would go with the namespace, but only some time later.
        stack.callback(_ip, "link", "del", near)
        _ip("address", "add", f"{NEAR_IP}/30", "dev", near)
        _ip("link", "set", near, "up")
        _ip("-n", name, "address", "add", f"{FAR_IP}/30", "dev", far)
        _ip("-n", name, "link", "set", far, "up")
        yield Host(name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
