"""The sdist and the wheels: what is in them, and that what they install can be imported and calls.

As users do it: pip makes wheels from the sdist, in an environment of its own for the build, and
installs them into an empty one. So this needs a package index, and takes minutes.
"""

from __future__ import annotations

import email.message
import email.parser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import pybrpc
from pybrpc.base.implementation import HOT_MODULES

pytestmark = [pytest.mark.proof, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME = f"pybrpc-{pybrpc.__version__}"
CLASSIFIED = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"
NOT_COPIED = shutil.ignore_patterns(
    *(".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "*.so", "*.egg-info"),
    *("build", "dist", "site", "results"),
)

CALL = """
import sys
import pybrpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

file = descriptor_pb2.FileDescriptorProto(name="installed.proto", package="installed")
file.message_type.add(name="Word").field.add(name="text", number=1, type=9, label=1)
method = file.service.add(name="Words").method.add(name="Echo")
method.input_type = method.output_type = ".installed.Word"
descriptor = descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
Word = message_factory.GetMessageClass(
    descriptor_pool.Default().FindMessageTypeByName("installed.Word")
)

class Words:
    def Echo(self, request, controller):
        return Word(text=request.text.upper())

service = descriptor_pool.Default().FindServiceByName("installed.Words")
with pybrpc.Server() as server:
    server.add_service(service, Words())
    with pybrpc.Channel(str(server.start("127.0.0.1:0")), timeout=60) as channel:
        print(pybrpc.Stub(service, channel).Echo(Word(text="hello")).text)
print(pybrpc.__version__, pybrpc.__impl__, pybrpc.__file__.startswith(sys.prefix))
"""


def run(*command: str | Path, **more: str) -> str:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYBRPC_", "PYTHON")) and name not in ("CFLAGS", "CC")
    }
    result = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT.parent,
        env=inherited | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def find_python(version: str) -> str:
    """The command that is this Python, as `.ci/run` finds it. Skips if there is none."""
    if version == THIS:
        return sys.executable
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for found in (f"python{version}", *sorted(root.glob(f"versions/{version}.*/bin/python"))):
        works = shutil.which(found) and subprocess.run(
            [found, "-c", "import venv"], capture_output=True, check=False
        )
        if works and works.returncode == 0:
            return str(found)
    pytest.skip(f"there is no Python {version}")


def new_environment(folder: Path, version: str = THIS) -> Path:
    """The Python of an empty virtual environment."""
    run(find_python(version), "-m", "venv", "--clear", folder)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("sdist")
    # setuptools writes into the folder that it packs: another process may do so just now.
    source = shutil.copytree(ROOT, tmp_path_factory.mktemp("copy") / "pybrpc", ignore=NOT_COPIED)
    run(
        sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", folder, source,
        PYBRPC_BUILD="python",
    )  # fmt: skip
    (made,) = folder.iterdir()
    assert made.name == f"{NAME}.tar.gz"
    return made


def made_wheel(sdist: Path, folder: Path, python: Path, **options: str) -> Path:
    run(python, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, sdist, **options)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def plain_wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    python = new_environment(folder / "environment")
    return made_wheel(sdist, folder, python, PYBRPC_BUILD="python")


def metadata_of(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"{NAME}.dist-info/METADATA").decode()
    return email.parser.Parser().parsestr(text)


def names_in(wheel: Path) -> set[str]:
    """The files that its RECORD lists, which are all that it has."""
    with zipfile.ZipFile(wheel) as archive:
        record = archive.read(f"{NAME}.dist-info/RECORD").decode()
        listed = {line.partition(",")[0] for line in record.splitlines()}
        assert listed == set(archive.namelist())
    return listed


def sources() -> set[str]:
    """All that an installed package needs of src/."""
    src = ROOT / "src"
    modules = {
        str(path.relative_to(src))
        for path in src.joinpath("pybrpc").rglob("*")
        if path.is_file() and path.suffix not in (".pxd", ".so", ".pyc")
    }
    return modules | {"pytest_pybrpc.py"}


def extensions(wheel: Path) -> set[str]:
    return {name.partition(".")[0] for name in names_in(wheel) if name.endswith(".so")}


def test_sdist_has_every_file_of_the_repository(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("CHANGELOG.md", "LICENSE", "Makefile", "docs/http.md", "tests/conftest.py"):
        assert name in names
    assert {"src/pybrpc/py.typed", "src/pybrpc/iobuf/iobuf.pxd", "examples/chat.py"} <= names
    assert not [name for name in names if name.endswith((".so", ".c", ".pyc"))]
    if (ROOT / ".git").exists():
        tracked = run("git", "-C", ROOT, "ls-files", "-z").split("\0")
        missing = {name for name in tracked if name and (ROOT / name).exists()} - names
        assert missing == set()


def test_plain_wheel_has_the_sources_and_nothing_else(plain_wheel: Path) -> None:
    assert plain_wheel.name == f"{NAME}-py3-none-any.whl"
    about = {name for name in names_in(plain_wheel) if name.startswith(f"{NAME}.dist-info/")}
    assert names_in(plain_wheel) - about == sources()
    assert "pybrpc/py.typed" in sources()
    assert f"{NAME}.dist-info/licenses/LICENSE" in about
    assert f"{NAME}.dist-info/entry_points.txt" in about


def test_description_has_links_that_work_anywhere(plain_wheel: Path) -> None:
    metadata = metadata_of(plain_wheel)
    text = metadata.get_payload()
    assert isinstance(text, str)
    assert metadata["Description-Content-Type"] == "text/markdown"
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(links) > 20
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {f"#{heading.lower().replace(' ', '-')}" for heading in headings}
    assert {link for link in links if not link.startswith("https://")} <= anchors
    repository = PROJECT["urls"]["Repository"]
    assert f"{repository}/raw/v{pybrpc.__version__}/docs/images/status.png" in links
    for link in links:
        kind, _, path = link.removeprefix(f"{repository}/").partition("/")
        if link.startswith(repository) and kind == "blob":
            tag, _, file = path.partition("#")[0].partition("/")
            assert (tag, (ROOT / file).exists()) == (f"v{pybrpc.__version__}", True), link


def test_metadata_say_where_the_project_is_and_claim_what_was_tried(plain_wheel: Path) -> None:
    metadata = metadata_of(plain_wheel)
    assert (metadata["Name"], metadata["Version"]) == ("pybrpc", pybrpc.__version__)
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL", []))
    assert urls == PROJECT["urls"]
    assert {"Repository", "Documentation", "Changelog", "Issues"} <= urls.keys()
    classifiers = metadata.get_all("Classifier", [])
    assert CLASSIFIED == ["3.11", "3.12", "3.13"]
    assert not [line for line in classifiers if "MacOS" in line or "3.14" in line]


@pytest.mark.parametrize("version", CLASSIFIED)
def test_compiled_wheel_installs_into_an_empty_environment_and_calls(
    sdist: Path, tmp_path: Path, version: str
) -> None:
    """With -O0, which takes a third of the time. Other Pythons than this one: `make wheels`."""
    if version != THIS and os.environ.get("PYBRPC_WHEELS") != "all":
        pytest.skip("PYBRPC_WHEELS=all, or `make wheels`, builds for this Python too")
    python = new_environment(tmp_path / "environment", version)
    wheel = made_wheel(sdist, tmp_path, python, PYBRPC_BUILD="compiled", CFLAGS="-O0")
    tag = f"cp{version.replace('.', '')}"
    assert wheel.name.startswith(f"{NAME}-{tag}-{tag}-")
    hot = {name.replace(".", "/") for name in HOT_MODULES}
    assert extensions(wheel) - hot == {"pybrpc/base/cython_shared"}
    assert hot <= extensions(wheel)
    others = {name for name in names_in(wheel) if not name.startswith(f"{NAME}.dist-info/")}
    assert {name for name in others if not name.endswith(".so")} == sources()
    run(python, "-m", "pip", "install", "--quiet", wheel)
    assert run(python, "-I", "-c", CALL) == f"HELLO\n{pybrpc.__version__} compiled True\n"
    shown = run(python.with_name("pybrpc"), "--version")
    assert shown.startswith(f"pybrpc {pybrpc.__version__} (compiled, Python {version}")


def test_plain_wheel_installs_into_an_empty_environment_and_calls(
    plain_wheel: Path, tmp_path: Path
) -> None:
    python = new_environment(tmp_path / "environment")
    run(python, "-m", "pip", "install", "--quiet", plain_wheel)
    assert run(python, "-I", "-c", CALL) == f"HELLO\n{pybrpc.__version__} python True\n"
    assert "cython" not in run(python, "-m", "pip", "list").lower()


def test_install_without_a_compiler_says_so_where_pip_shows_it(sdist: Path, tmp_path: Path) -> None:
    python = new_environment(tmp_path / "environment")
    shown = run(python, "-m", "pip", "install", "--no-deps", sdist, CC="there-is-no-compiler")
    assert f"{NAME}-0_NOT_COMPILED-py3-none-any.whl" in shown
    assert f"Successfully installed {NAME}" in shown


def test_build_that_must_compile_fails_without_a_compiler(sdist: Path, tmp_path: Path) -> None:
    python = new_environment(tmp_path / "environment")
    command = [str(python), "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(tmp_path)]
    environment = os.environ | {"PYBRPC_BUILD": "compiled", "CC": "there-is-no-compiler"}
    result = subprocess.run(
        [*command, str(sdist)], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert "PYBRPC_BUILD=compiled, but a trial with the C compiler failed" in (
        result.stdout + result.stderr
    )
