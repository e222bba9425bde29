"""The number of modules that an import, a channel and a server load, counted in processes of their
own; and the names that are imported later. docs/design/0032-packages.md has the times."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import pybrpc

SOURCE = Path(pybrpc.__file__).parent
MAX_MODULES = 80
"""Those that Python itself loads included. 66 in CPython 3.11."""

COUNT = """
import sys
before = set(sys.modules)
import pybrpc
print(len(sys.modules), *sorted(set(sys.modules) - before))
"""
USED_LATER = {
    *("asyncio", "concurrent.futures", "ctypes", "google.protobuf", "http", "logging"),
    *("multiprocessing", "socket", "ssl", "subprocess", "tempfile", "uuid"),
    *("pybrpc.aio", "pybrpc.builtin", "pybrpc.client", "pybrpc.server", "pybrpc.transport"),
}


def run(script: str) -> str:
    command = [sys.executable, "-S", "-c", script]
    path = {"PYTHONPATH": ":".join(sys.path)}
    environment = {"PYBRPC_IMPL": pybrpc.__impl__, **path}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_loads_few_modules_and_none_that_is_used_later() -> None:
    count, *loaded = run(COUNT).split()
    assert int(count) <= MAX_MODULES, loaded
    assert USED_LATER.isdisjoint(loaded)
    assert "pybrpc.base.implementation" in loaded


HTTP = {"http", "orjson", "pybrpc.protocols.http1.head", "pybrpc.json2pb.json_to_pb", "uuid"}
CLUSTERS = {
    *("pybrpc.client.channel.cluster_options", "pybrpc.client.cluster.balancing"),
    *("pybrpc.client.cluster.router", "pybrpc.naming.naming_url", "pybrpc.naming.watching"),
}
NOT_OF_A_CALL = {
    *("difflib", "hashlib", "json", "pathlib", "platform", "secrets", "ssl", "subprocess"),
    *("pybrpc.builtin", "pybrpc.rpc.interceptors", "pybrpc.server", "pybrpc.transport.listening"),
    *("pybrpc.protocols.hulu", "pybrpc.protocols.sofa", "google.protobuf.text_format"),
    *("pybrpc.tracing.process_rpcz", "pybrpc.tracing.span", "pybrpc.transport.tls"),
}
CHANNEL = 'import pybrpc; pybrpc.Stub; pybrpc.Channel("127.0.0.1:1"{options}).close()'
AIO_CHANNEL = 'import pybrpc; pybrpc.Stub; pybrpc.aio.Channel("127.0.0.1:1")'
SERVER = "import pybrpc; pybrpc.Server()"


def loaded_by(program: str) -> set[str]:
    """All modules of a process that has run `program`."""
    return set(run(f"{program}; import sys; print(*sys.modules)").split())


@pytest.mark.parametrize(
    ("program", "most", "absent"),
    [
        (CHANNEL.format(options=""), 400, HTTP | CLUSTERS | NOT_OF_A_CALL | {"asyncio"}),
        (AIO_CHANNEL, 445, HTTP | CLUSTERS | NOT_OF_A_CALL - {"ssl", "subprocess"}),
        (SERVER, 710, {"importlib.metadata", "importlib.resources", "tempfile", "pybrpc.client"}),
    ],
    ids=["channel", "aio", "server"],
)
def test_channels_and_servers_load_no_more_than_they_use(
    program: str, most: int, absent: set[str]
) -> None:
    """In CPython 3.11 they load 377, 420 and 687 modules, without those of an environment."""
    loaded = loaded_by(program)
    assert absent.isdisjoint(loaded), absent & loaded
    assert len(loaded) <= most


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"protocol": "http"}, "pybrpc.client.connections.http_connection"),
        ({"protocol": "hulu_pbrpc"}, "pybrpc.protocols.hulu"),
        ({"tls": True}, "pybrpc.transport.tls.client_tls"),
    ],
)
def test_option_that_asks_for_more_has_it_loaded(options: dict[str, object], wanted: str) -> None:
    """By the constructor: see tests/integration/test_client_imports.py for the calls."""
    given = "".join(f", {name}={value!r}" for name, value in options.items())
    assert wanted not in loaded_by(CHANNEL.format(options=""))
    assert wanted in loaded_by(CHANNEL.format(options=given))


def test_channel_to_several_servers_loads_what_clusters_need() -> None:
    channel = 'import pybrpc; pybrpc.Channel(["127.0.0.1:1", "127.0.0.1:2"]).close()'
    assert loaded_by(channel) >= CLUSTERS


def files_with_lazy_names() -> list[Path]:
    files = sorted(SOURCE.rglob("*.py"))
    return [path for path in files if "lazy_names(__name__" in path.read_text()]


@pytest.mark.parametrize(
    "path", files_with_lazy_names(), ids=lambda path: str(path.relative_to(SOURCE))
)
def test_lazy_names_are_those_that_type_checkers_see(path: Path) -> None:
    """Each in `__all__`, imported under TYPE_CHECKING, and found where the table says."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    package = importlib.import_module(".".join(parts).removesuffix(".__init__"))
    block = next(
        node
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    imported: dict[str, object] = {}
    for statement in block.body:
        exec(ast.unparse(statement), imported)
    del imported["__builtins__"]
    table = vars(package)["_DEFINED_IN"]
    submodules = vars(package).get("_SUBMODULES", ())
    eager = {name for name in package.__all__ if name.startswith("__")}
    assert table.keys() <= set(package.__all__)
    assert set(package.__all__) <= table.keys() | eager | set(submodules)
    assert set(package.__all__) - eager <= imported.keys()
    for name in package.__all__:
        if name not in eager:
            assert getattr(package, name) == imported[name], name
