"""The steps of examples/deploy/Dockerfile, without a container: build, install, serve, probe, stop.

What only a container has is not tested here: the base images, the user, process 1.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import venv
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from examples.deploy.greeter import SERVICE, Text
from tests.fakes.threads import wait_until
from tests.peers.pages import ROOT
from tests.peers.redis_server import free_port

pytestmark = pytest.mark.same_everywhere

DEPLOY = ROOT / "examples" / "deploy"
SOURCE = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
CALLS = 12


def dockerfile() -> str:
    return (DEPLOY / "Dockerfile").read_text()


def command_of_image() -> list[str]:
    """CMD, in its form without a shell."""
    found = re.findall(r"^CMD (\[.*\])$", dockerfile(), re.MULTILINE)
    command: list[str] = json.loads(found[-1])
    return command


def option(name: str) -> float:
    command = command_of_image()
    return float(command[command.index(name) + 1])


def installed(folder: Path) -> Path:
    """Build the wheel of what the Dockerfile copies, and install it; the folder of commands."""
    source, wheels = folder / "source", folder / "wheels"
    ignored = shutil.ignore_patterns("*.so", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT / "src", source / "src", ignore=ignored)
    copied = re.findall(r"^COPY (.*) \./$", dockerfile(), re.MULTILINE)[0].split()
    assert set(copied) == set(SOURCE)
    for name in copied:
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    environment = {**os.environ, "PYBRPC_BUILD": "python"}
    environment.pop("PYTHONPATH", None)
    build = [*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(source)]
    subprocess.run(build, check=True, env=environment)
    (wheel,) = wheels.iterdir()
    venv.create(folder / "venv", with_pip=False)
    binaries = folder / "venv" / "bin"
    install = [*pip, "--python", str(binaries / "python"), "install", str(wheel)]
    subprocess.run(install, check=True, env=environment)
    return binaries


def status(url: str) -> int:
    """The status of the answer to a probe; 0 without an answer."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            code: int = answer.status
            return code
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.mark.proof
def test_container_s_command_answers_all_calls_and_is_unready_first(tmp_path: Path) -> None:
    binaries = installed(tmp_path)
    app = tmp_path / "app"
    app.mkdir()
    shutil.copy(DEPLOY / "greeter.py", app)
    address, pages = f"127.0.0.1:{free_port()}", str(free_port())
    places = {"0.0.0.0:8000": address, "8001": pages}
    name, *arguments = [places.get(word, word) for word in command_of_image()]
    # Without variables that would lead it to the source.
    environment = {"PATH": f"{binaries}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
    log = (tmp_path / "log").open("w+")
    with (
        log,
        subprocess.Popen(
            [str(binaries / name), *arguments], cwd=app, env=environment, stdout=log, stderr=log
        ) as process,
    ):
        try:
            wait_until(lambda: process.poll() is not None or "serving" in read(log.name))
            assert status(f"http://127.0.0.1:{pages}/health") == 200, read(log.name)
            assert status(f"http://127.0.0.1:{pages}/readiness") == 200
            assert run_health_check(binaries, pages) == 0
            with pybrpc.Channel(address, timeout=60, max_retry=0) as channel:
                check_stop(process, pages, pybrpc.Stub(SERVICE, channel))
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert run_health_check(binaries, pages) != 0
    assert re.search(rf"all: .* {2 * CALLS} requests, 0 errors", read(log.name)), read(log.name)


def check_stop(process: subprocess.Popen[bytes], pages: str, stub: Any) -> None:
    """SIGTERM while calls run: unready at once, calls are accepted, and all are answered."""
    running: list[Future[Any]] = [stub.Greet.future(Text(value=str(i))) for i in range(CALLS)]
    running[0].result()  # The others run, or wait for their turn.
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: status(f"http://127.0.0.1:{pages}/readiness") == 503)
    assert status(f"http://127.0.0.1:{pages}/version") == 200
    late = [stub.Greet.future(Text(value=str(i))) for i in range(CALLS)]
    for i, call in enumerate(running + late):
        assert call.result().value == f"Hello, {i % CALLS}!"


def read(path: str) -> str:
    return Path(path).read_text()


def run_health_check(binaries: Path, pages: str) -> int:
    """Run HEALTHCHECK's command; its exit status."""
    (found,) = re.findall(r"^    CMD (\[.*\])$", dockerfile(), re.MULTILINE)
    name, *arguments = [word.replace("8001", pages) for word in json.loads(found)]
    return subprocess.run(
        [binaries / name, *arguments], capture_output=True, check=False
    ).returncode


def test_limits_of_time_fit_together() -> None:
    """The program that kills the container waits longer than drain, grace and 8 seconds."""
    needed = option("--drain-delay") + option("--grace") + 8
    for file, pattern in {
        "compose.yaml": r"stop_grace_period: (\d+)s",
        "kubernetes.yaml": r"terminationGracePeriodSeconds: (\d+)",
        "Dockerfile": r"--stop-timeout (\d+)",
    }.items():
        (found,) = re.findall(pattern, (DEPLOY / file).read_text())
        assert float(found) > needed, file
    unit = (DEPLOY / "greeter.service").read_text()
    (stop,), (grace,) = (re.findall(p, unit) for p in (r"TimeoutStopSec=(\d+)", r"--grace (\d+)"))
    assert float(stop) > float(grace) + 8
    # The pod is out of the lists before it refuses requests.
    (period,) = re.findall(
        r"/readiness.*\n\s+periodSeconds: (\d+)\n\s+failureThreshold: 1",
        (DEPLOY / "kubernetes.yaml").read_text(),
    )
    assert float(period) < option("--drain-delay")


@pytest.mark.program("systemd-analyze")
def test_units_are_what_systemd_reads(tmp_path: Path) -> None:
    for name in ("greeter.service", "greeter.socket"):
        text = (DEPLOY / name).read_text().replace("/srv/greeter/venv/bin/pybrpc", "/bin/true")
        (tmp_path / name).write_text(text)
    paths = [str(tmp_path / name) for name in ("greeter.service", "greeter.socket")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
