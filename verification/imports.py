"""python -m verification.imports: circles of imports, the order of packages, sizes of files.

A circle is a strongly connected component of the graph of modules. It is sought twice: among the
imports that run (those inside functions included), and among all, with those under TYPE_CHECKING
and the cimports of .pxd files. An import of a package leads to its `__init__`, an import of a name
from a package to the module of that name if there is one. Exits with 1 if there is a circle at run
time.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60

Graph = Mapping[str, set[str]]
"""For each module those that it imports. Names are full ones: "pybrpc.iobuf.iobuf"."""


def module_name(path: Path, source: Path = SOURCE) -> str:
    return ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")


def import_graph(with_types: bool, source: Path = SOURCE) -> Graph:
    """Modules below `source` and what they import of each other."""
    paths = {module_name(path, source): path for path in sorted(source.rglob("*.py"))}
    graph = {}
    for name, path in paths.items():
        imports = set(_imports(ast.parse(path.read_text()), with_types))
        if with_types and path.with_suffix(".pxd").exists():
            imports |= set(_cimports(path.with_suffix(".pxd").read_text()))
        graph[name] = {_module_of(base, part, paths) for base, part in imports} & paths.keys()
        graph[name].discard(name)
    return graph


def _module_of(base: str, part: str, known: Iterable[str]) -> str:
    return f"{base}.{part}" if f"{base}.{part}" in known else base


def _imports(node: ast.AST, with_types: bool) -> Iterator[tuple[str, str]]:
    """Pairs of a module and a name in it, or of a module and ""."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, "") for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from ((node.module or "", alias.name) for alias in node.names)
    children = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and ast.unparse(node.test) in _FOR_TYPES:
        children = iter([*(node.body if with_types else ()), *node.orelse])
    for child in children:
        yield from _imports(child, with_types)


_FOR_TYPES = ("TYPE_CHECKING", "typing.TYPE_CHECKING")
_CIMPORT = re.compile(r"^(?:from (\S+) cimport (\([^)]*\)|.*)|cimport (\S+))", re.MULTILINE)


def _cimports(declarations: str) -> Iterator[tuple[str, str]]:
    for base, names, alone in _CIMPORT.findall(declarations):
        yield from ((base or alone, name) for name in re.findall(r"\w+", names) or [""])


def circles(graph: Graph) -> list[frozenset[str]]:
    """Components of more than one module, the largest first (Tarjan)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[frozenset[str]] = []

    def visit(module: str) -> None:
        number[module] = low[module] = len(number)
        stack.append(module)
        for other in sorted(graph[module]):
            if other not in number:
                visit(other)
            if other in stack:
                low[module] = min(low[module], low[other])
        if low[module] == number[module]:
            members = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(members) > 1:
                found.append(frozenset(members))

    for module in graph:
        if module not in number:
            visit(module)
    return sorted(found, key=lambda circle: (-len(circle), sorted(circle)))


def order_of(package: str, graph: Graph) -> list[list[str]]:
    """Children of `package` from top to bottom: each row imports rows below it only.

    Children that import each other in a circle are one entry, joined by " <-> ". The package's
    own `__init__` is left out. Empty if the package has no sub-packages.
    """
    child_of = {
        module: module[len(package) + 1 :].split(".")[0]
        for module in graph
        if module.startswith(f"{package}.")
    }
    if len(set(child_of.values())) == len(child_of):
        return []
    above: dict[str, set[str]] = {child: set() for child in child_of.values()}
    for module, child in child_of.items():
        above[child] |= {child_of[other] for other in graph[module] if other in child_of} - {child}
    joined = {child: " <-> ".join(sorted(circle)) for circle in circles(above) for child in circle}
    rows: dict[str, int] = {}

    def height(entry: str) -> int:
        if entry not in rows:
            below = {joined.get(b, b) for a in entry.split(" <-> ") for b in above[a]} - {entry}
            rows[entry] = 1 + max(map(height, below), default=0)
        return rows[entry]

    entries = sorted({joined.get(child, child) for child in above})
    top = max(map(height, entries))
    return [[entry for entry in entries if rows[entry] == row] for row in range(top, 0, -1)]


def long_files(source: Path = SOURCE) -> dict[str, int]:
    """Files over MAX_FILE_LINES, relative to `source`, with their number of lines."""
    paths = (path for path in source.rglob("*.p*") if path.suffix in (".py", ".pxd", ".pyi"))
    lines = {str(path.relative_to(source)): path.read_text().count("\n") for path in paths}
    return {path: count for path, count in lines.items() if count > MAX_FILE_LINES}


def long_functions(source: Path = SOURCE) -> dict[str, int]:
    """Functions over MAX_FUNCTION_LINES, as "path:name", with their number of lines."""
    found = {}
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = (node.end_lineno or node.lineno) - node.lineno + 1
                if count > MAX_FUNCTION_LINES:
                    found[f"{path.relative_to(source)}:{node.name}"] = count
    return found


def main() -> int:
    at_run_time, with_types = import_graph(with_types=False), import_graph(with_types=True)
    for title, graph in (("at run time", at_run_time), ("with types", with_types)):
        found = circles(graph)
        print(f"circles {title}: {', '.join(str(len(circle)) for circle in found) or 'none'}")
        for circle in found:
            print(f"  {len(circle)}: {' '.join(sorted(circle))}")
    print("order at run time, from top to bottom:")
    for package in sorted(at_run_time):
        if rows := order_of(package, at_run_time):
            print(f"  {package}: {' > '.join(', '.join(row) for row in rows)}")
    for name, count in {**long_files(), **long_functions()}.items():
        print(f"too long: {name}, {count} lines")
    modules = [name for name in at_run_time if not name.startswith("pybrpc.testing")]
    print(f"{len(modules)} Python files outside testing/")
    return 1 if circles(at_run_time) else 0


if __name__ == "__main__":
    sys.exit(main())
