"""The programs that tests start, and which tests those are. `make programs` installs them.

    python -m tests.peers.programs    install what is missing, with apt-get; exit status 1 if
                                      something is missing after that

A test whose program is missing is skipped; with PYBRPC_PROGRAMS=required in the environment, as
`.ci/run` sets it, it fails.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Program:
    """A command, the packages of Debian that have it, and the tests that run it.

    packages   names with spaces between them
    files      patterns below `LIBRARIES` for modules that the tests need beside the command
    """

    packages: str
    tests: str
    files: tuple[str, ...] = ()


LIBRARIES = Path("/usr/lib")
RTMP_TESTS = "tests/integration/test_rtmp_*.py"
PLUGINS = "gstreamer1.0-plugins-"
PROGRAMS = {
    "redis-server": Program("redis-server", "tests/integration/test_redis_*.py, test_bench.py"),
    "spin": Program("spin", "tests/integration/test_verification.py"),
    "gcc": Program("gcc", "tests/integration/test_verification.py"),
    "valgrind": Program("valgrind", "tests/unit/bench/test_instructions.py"),
    "ip": Program("iproute2", "tests/network"),
    "ffmpeg": Program("ffmpeg", RTMP_TESTS),
    "nginx": Program(
        "nginx-light libnginx-mod-rtmp",
        f"{RTMP_TESTS}, test_http_nginx.py",
        ("nginx/modules/ngx_rtmp_module.so",),
    ),
    "go": Program(
        "golang-go",
        "tests/unit/builtin/profiling/test_pprof_format.py, "
        "tests/integration/test_profile_pages.py",
    ),
    "curl": Program("curl", "tests/integration/test_http_curl.py"),
    "chromium": Program("chromium", "tests/integration/test_builtin_browser.py"),
    "promtool": Program(
        "prometheus",
        "tests/unit/metrics/exposition/test_prometheus.py, "
        "tests/integration/test_brpc_variables.py, test_worker_metrics.py",
    ),
    "protoc": Program(
        "protobuf-compiler", "tests/golden/test_codegen.py, tests/integration/test_typed_stubs*.py"
    ),
    "systemd-socket-activate": Program("systemd", "tests/integration/test_systemd.py"),
    "systemd-analyze": Program("systemd", "tests/integration/test_deployment.py"),
    "wrk": Program("wrk", "tests/integration/test_bench_http.py"),
    "etcd": Program("etcd-server", "tests/integration/test_naming_etcd.py, test_registration*.py"),
    "dnsmasq": Program("dnsmasq-base", "tests/integration/test_naming_dns.py"),
    "named": Program("bind9", "tests/integration/test_naming_dns.py"),
    "java": Program(
        "zookeeper",
        "tests/integration/test_naming_zookeeper.py",
        ("../share/java/zookeeper.jar",),
    ),
    "rtmpdump": Program("rtmpdump", RTMP_TESTS),
    "gst-launch-1.0": Program(
        f"gstreamer1.0-tools {PLUGINS}base {PLUGINS}good {PLUGINS}bad {PLUGINS}ugly "
        "gstreamer1.0-libav",
        RTMP_TESTS,
        tuple(
            f"*/gstreamer-1.0/libgst{plugin}.so"
            for plugin in ("videotestsrc", "flv", "rtmp", "rtmp2", "x264", "libav")
        ),
    ),
}
POLICY = Path("/usr/sbin/policy-rc.d")
"""Debian's invoke-rc.d asks it whether a service may be started; status 101 forbids it."""
VARIABLE = "PYBRPC_PROGRAMS"
APT_OPTIONS = "--yes", "--no-install-recommends"


def require_program(name: str) -> None:
    """Skip the test that runs, or fail it, if the program is missing."""
    import pytest

    if is_installed(name):
        return
    program = PROGRAMS[name]
    packages = program.packages
    reason = f"there is no program {name} here: make programs, or apt-get install {packages}"
    if os.environ.get(VARIABLE) == "required":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def is_installed(name: str) -> bool:
    """Whether there are the command and the files that belong to it."""
    files = PROGRAMS[name].files
    return shutil.which(name) is not None and all(any(LIBRARIES.glob(file)) for file in files)


def missing() -> list[str]:
    """The programs that are not there."""
    return [name for name in PROGRAMS if not is_installed(name)]


def install(names: list[str]) -> None:
    """Have apt-get install their packages, as far as it can: one that can't be installed does not
    keep the others away."""
    commands = [["install", *APT_OPTIONS, *PROGRAMS[name].packages.split()] for name in names]
    with no_daemons():
        for command in (["update"], *commands):
            print("apt-get", *command, flush=True)
            try:
                subprocess.run(["apt-get", "--quiet=2", *command], check=False)
            except OSError as error:
                print(error, file=sys.stderr)


@contextlib.contextmanager
def no_daemons(policy: Path = POLICY) -> Iterator[None]:
    """Have packages that are installed meanwhile start no servers: tests start their own."""
    is_made = False
    with contextlib.suppress(OSError):
        with policy.open("x") as file:
            file.write("#!/bin/sh\nexit 101\n")
        is_made = True
        policy.chmod(0o755)
    try:
        yield
    finally:
        if is_made:
            policy.unlink(missing_ok=True)


def main() -> int:
    """Install what is missing. Return the exit status: 1 if a program is missing after that."""
    for name, program in PROGRAMS.items():
        where = shutil.which(name) if is_installed(name) else None
        print(f"{name:16}{where or 'missing':26}{program.tests}")
    if names := missing():
        install(names)
    left = missing()
    if left:
        packages = " ".join(PROGRAMS[name].packages for name in left)
        print(
            f"missing: {', '.join(left)}. Install them (Debian: {packages}); until then "
            "the tests that need them are skipped",
            file=sys.stderr,
        )
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
