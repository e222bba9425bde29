"""Programs that tests start: installed when somebody asks for it, and missed loudly in CI."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.peers import programs
from tests.peers.programs import PROGRAMS, require_program
from verification.spin import TOOLS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def nothing_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)


def test_test_without_its_program_is_skipped(
    nothing_there: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(programs.VARIABLE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no program spin here: make programs"):
        require_program("spin")


def test_test_without_its_program_fails_where_programs_are_required(
    nothing_there: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(programs.VARIABLE, "required")
    with pytest.raises(pytest.fail.Exception, match="no program redis-server here"):
        require_program("redis-server")


def test_program_that_can_not_be_installed_is_reported(
    nothing_there: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[list[str]] = []

    def run(command: list[str], check: bool) -> None:
        begun.append(command)
        raise FileNotFoundError("apt-get")

    monkeypatch.setattr(subprocess, "run", run)
    assert programs.main() == 1
    assert begun[0][-1] == "update"
    installs = [command[2:] for command in begun[1:]]
    options = ["install", "--yes", "--no-install-recommends"]
    assert installs == [[*options, *each.packages.split()] for each in PROGRAMS.values()]
    printed = capsys.readouterr()
    assert "missing: redis-server, spin" in printed.err
    assert "tests/integration/test_redis_*.py" in printed.out


def test_program_without_a_module_that_belongs_to_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/sbin/{name}")
    monkeypatch.setattr(programs, "LIBRARIES", tmp_path)
    monkeypatch.setenv(programs.VARIABLE, "required")
    module = tmp_path / "nginx" / "modules" / "ngx_rtmp_module.so"
    assert programs.missing() == ["nginx", "java", "gst-launch-1.0"]
    with pytest.raises(pytest.fail.Exception, match="apt-get install nginx-light libnginx-mod"):
        require_program("nginx")
    module.parent.mkdir(parents=True)
    module.touch()
    require_program("nginx")


def test_each_program_names_tests_that_exist_and_start_it() -> None:
    for name, program in PROGRAMS.items():
        first = program.tests.partition(",")[0]
        assert list(ROOT.glob(first)), name
    marked = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r'mark\.program\("([^"]+)"\)$', path.read_text(), re.MULTILINE)
    }
    naming = {"etcd", "dnsmasq", "named", "java", "nginx"}
    systemd = {"systemd-analyze", "systemd-socket-activate"}
    assert {"valgrind", "ip", "promtool", "go", "protoc", *naming, *systemd} == marked
    assert set(TOOLS) <= set(PROGRAMS)


def test_make_test_installs_no_program() -> None:
    made = subprocess.run(
        ["make", "--dry-run", "--always-make", "test"], cwd=ROOT, capture_output=True, text=True
    )
    assert "pytest" in made.stdout
    assert "apt-get" not in made.stdout
    assert "programs" not in made.stdout


OF_MAKE = ("IMPL", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS")
"""Variables in which `make test IMPL=compiled` hands its own on to another make."""
PYTHON_OF_A_DEMO = """#!/bin/sh
if [ "$1" = -m ]; then
    echo "$2 runs as $PYBRPC_IMPL"
else
    exec {python} "$@"
fi
"""


@pytest.mark.parametrize(
    ("variables", "form"),
    [
        (["CC=cc"], "compiled"),
        (["CC=false"], "python"),
        (["CC=cc", "IMPL=python"], "python"),
        (["CC=false", "IMPL=compiled"], "compiled"),
    ],
    ids=" ".join,
)
def test_make_demo_takes_the_compiled_form_where_there_is_a_compiler(
    tmp_path: Path, variables: list[str], form: str
) -> None:
    """A dry run of make runs the one recipe that calls make itself: with a Python that says the
    form in place of the demo. Nothing is installed or compiled."""
    if "CC=cc" in variables and not has_compiler():
        pytest.skip("there is no C compiler, or no Python.h")
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(PYTHON_OF_A_DEMO.format(python=sys.executable))
    python.chmod(0o755)
    made = subprocess.run(
        ["make", "--dry-run", "demo", f"VENV={tmp_path}", f"PYTHON={sys.executable}", *variables],
        cwd=ROOT,
        env={
            n: v for n, v in os.environ.items() if "MAKE" not in n and n not in ("IMPL", "MFLAGS")
        },
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines()[-1] == f"demo runs as {form}"
    has_said = "\nThere is no C compiler" in made.stdout
    assert has_said == (variables == ["CC=false"])


def has_compiler() -> bool:
    header = Path(sysconfig.get_path("include"), "Python.h")
    return header.exists() and shutil.which("cc") is not None


def test_ci_runs_the_demo_after_it_has_compiled() -> None:
    """With no IMPL, so that `make demo` itself chooses the form."""
    stages = re.findall(r"^stage .*", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    demo = stages.index('stage "demo" make demo ARGS="--seconds 0.2"')
    assert stages[demo - 1] == 'stage "compile" make compiled'


def test_ci_installs_and_requires_programs_first() -> None:
    stages = re.findall(r"^stage .*", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert stages[0] == 'stage "programs" make programs'
    assert "export PYBRPC_PROGRAMS=required" in (ROOT / ".ci" / "run").read_text()


def test_packages_start_no_daemons_while_they_are_installed(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with programs.no_daemons(policy):
        assert subprocess.run([policy], check=False).returncode == 101
    assert not policy.exists()
    policy.write_text("that of the system")
    with programs.no_daemons(policy):
        assert policy.read_text() == "that of the system"
    assert policy.exists()
    with programs.no_daemons(tmp_path / "none" / "policy-rc.d"):
        pass
