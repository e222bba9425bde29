"""Compiles the hot modules, those with a sibling `.pxd`, if there is a C compiler.

    PYBRPC_BUILD=compiled   compile; if that fails, the build fails
    PYBRPC_BUILD=python     don't compile
    not set                 compile if there is a C compiler and this Python has a GIL, else don't,
                            and say so loudly, and in the name of the wheel, which pip shows; if
                            there is one and it fails, the build fails
    PYBRPC_BUILD_JOBS=1     at once; else as many as there are processors
    CFLAGS=-O0              after the options of here, and so over them

README.md becomes the description of the package, with links that lead to the repository. Everything
else is in pyproject.toml.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import multiprocessing
import os
import re
import shlex
import sys
import sysconfig
import tempfile
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.dist import Distribution
from setuptools.errors import CCompilerError, ExecError, PlatformError

ROOT = Path(__file__).resolve().parent
SOURCES = ROOT / "src"
BUILD = ROOT / "build"

DIRECTIVES = {
    "language_level": 3,
    # The types in the `.py` are for mypy; those of C are in the `.pxd`.
    "annotation_typing": False,
    # Lines of Python in the C code: gcc has to read past them.
    "emit_code_comments": False,
    # Functions have signatures anyway; this is for `show_constructors`.
    "embedsignature": True,
    "embedsignature.format": "clinic",
}

# With classes of values, of which users may make copies, or pickle them. Others do without
# `auto_pickle`: three long functions for each class.
COPIED = (
    "pybrpc.client.cluster.breaking.outlier_detection",
    "pybrpc.client.cluster.breaking.retry_budget",
    "pybrpc.iobuf.iobuf",
    "pybrpc.protocols.message",
    "pybrpc.rpc.controller",
    "pybrpc.rpc.http",
)

# What Cython puts into each module else, from the type of its functions to parsing keywords.
SHARED = "pybrpc.base.cython_shared"

CFLAGS = shlex.split(os.environ.get("CFLAGS", ""))
IS_SANITIZED = any(flag.startswith("-fsanitize=address") for flag in CFLAGS)

# Of a class, said in its `.pxd`. What comes from a freelist again was never free to
# AddressSanitizer.
CLASS_DIRECTIVES = ("no_gc", "trashcan") if IS_SANITIZED else ("freelist", "no_gc", "trashcan")

# Without passes that take a quarter of the time of gcc, and save less than a percent of the
# instructions of a call (docs/design/0032-packages.md).
HOT = [
    "-O2",
    "-fno-code-hoisting",
    "-fno-crossjumping",
    "-fno-gcse",
    "-fno-ipa-cp",
    "-fno-ipa-icf",
    "-fno-ipa-sra",
    "-fno-schedule-insns2",
    "-fno-tree-pre",
    "-fno-tree-tail-merge",
    "-fno-tree-vectorize",
    "-fno-tree-vrp",
]
# For modules in which a call over baidu_std spends less than 200 instructions, if any: half the
# time of gcc for a few percent more instructions.
CHEAP = [
    "-O1",
    "-fno-tree-dominator-opts",
    "-fno-tree-loop-optimize",
    "-fno-tree-pta",
]
CHEAP_MODULES = (
    "pybrpc.base.gil_atomic",
    "pybrpc.client.calls.attempt",
    "pybrpc.client.cluster.",
    "pybrpc.client.connections.connection_pool",
    "pybrpc.client.connections.http_",
    "pybrpc.client.connections.hulu_connection",
    "pybrpc.json2pb.",
    "pybrpc.metrics.tally",
    "pybrpc.protocols.baidu_std.meta_decoder",
    "pybrpc.protocols.baidu_std.meta_encoder",
    "pybrpc.protocols.framed",
    "pybrpc.protocols.frames",
    "pybrpc.protocols.http1.",
    "pybrpc.protocols.hulu.",
    "pybrpc.protocols.session",
    "pybrpc.protocols.sofa.",
    "pybrpc.protocols.streaming.",
    "pybrpc.rpc.http",
    "pybrpc.server.calls.admission",
    "pybrpc.server.calls.call_queue",
    "pybrpc.server.calls.interfaces",
    "pybrpc.server.calls.ordered_replies",
    "pybrpc.server.calls.service_registry",
    "pybrpc.server.connections.closing",
    "pybrpc.server.connections.server_core",
    "pybrpc.server.http.",
    "pybrpc.server.lifecycle.",
    "pybrpc.server.limiters.",
    "pybrpc.server.running.worker_slots",
    "pybrpc.streams.",
    "pybrpc.tracing.",
    "pybrpc.transport.dispatch.relay",
    "pybrpc.transport.writing.socket_core",
)

# gcc takes an annotation `None | X`, as Cython compiles it, for a read beyond the end of None; and
# a variable that is set inside `with`, for one that may never be set.
GCC_ALONE = [
    # Code that runs once, when a module is imported, is not optimized.
    "-DCYTHON_SMALL_CODE=__attribute__((cold,optimize(0)))",
    "-Wno-array-bounds",
    "-Wno-maybe-uninitialized",
]
# Not every module uses all functions of C that a `.pxd` has.
OPTIONS = ["-Wno-unused-function"]


class BuildHotModules(build_ext):
    """build_ext of `.py` files, by way of Cython."""

    def build_extensions(self) -> None:
        from Cython.Build import cythonize

        # The processes that Cython starts need what is changed in it here.
        multiprocessing.set_start_method("fork", force=True)
        made = [self._take_shared()]
        show_constructors()
        keep_class_directives()
        # Cython makes many objects, few of which are garbage in circles.
        gc.set_threshold(300_000)
        alike = defaultdict(list)
        for extension in self.extensions[1:]:
            alike[extension.name in COPIED].append(extension)
        for are_copied, extensions in alike.items():
            with contextlib.chdir(SOURCES):
                # Tracebacks name a file as it is named here, and find "pybrpc/..." in sys.path.
                made += cythonize(
                    [_seen_from_sources(extension) for extension in extensions],
                    build_dir=str(BUILD / ("cython-sanitized" if IS_SANITIZED else "cython")),
                    nthreads=_jobs(),
                    quiet=True,
                    compiler_directives=DIRECTIVES | {"auto_pickle": are_copied},
                    shared_utility_qualified_name=SHARED,
                )
        sources = {extension.name: extension.sources for extension in made}
        for extension in self.extensions:
            extension.sources = [os.path.relpath(path) for path in sources[extension.name]]
        self.parallel = self.parallel or _jobs()
        super().build_extensions()

    def _take_shared(self) -> Extension:
        """The module SHARED, which has no source but Cython itself."""
        from Cython.Build.SharedModule import generate_shared_module
        from Cython.Compiler.Options import CompilationOptions, default_options

        file = BUILD / "cython_shared.c"
        file.parent.mkdir(exist_ok=True)
        options = CompilationOptions(
            default_options,
            shared_c_file_path=str(file),
            shared_utility_features_disabled=["MemoryView"],
            module_name=SHARED,
        )
        generate_shared_module(options)
        return Extension(SHARED, [str(file)], extra_compile_args=options_of(SHARED))


def hot_modules() -> list[Extension]:
    found = [Extension(SHARED, [], extra_compile_args=options_of(SHARED))]
    for declarations in sorted(SOURCES.rglob("*.pxd")):
        source = declarations.with_suffix(".py").relative_to(SOURCES)
        name = ".".join(source.with_suffix("").parts)
        path = str(Path("src") / source)
        found.append(Extension(name, [path], extra_compile_args=options_of(name)))
    if len(found) == 1:
        raise SystemExit("the .pxd files are missing, so nothing can be compiled")
    return found


def options_of(name: str) -> list[str]:
    """The options of the C compiler for a module. clang refuses a pass that it doesn't have."""
    level = CHEAP if name.startswith(CHEAP_MODULES) else HOT
    if not is_gcc():
        return [*([] if sys.flags.debug else [level[0], "-g0"]), *OPTIONS, *CFLAGS]
    return [*([] if sys.flags.debug else [*level, "-g0"]), *GCC_ALONE, *OPTIONS, *CFLAGS]


@functools.cache
def is_gcc() -> bool:
    condition = "#if !defined(__GNUC__) || defined(__clang__)"
    error = "#error not GCC: its own options are left out"
    return why_not_taken(f"{condition}\n{error}\n#endif\n") is None


def _seen_from_sources(extension: Extension) -> Extension:
    """A copy of `extension` whose source is a path from SOURCES."""
    paths = [os.path.relpath(path, "src") for path in extension.sources]
    return Extension(extension.name, paths, extra_compile_args=extension.extra_compile_args)


def show_constructors() -> None:
    """Have Cython (3.3) write the signature of `__init__` into the docstring of a C struct, in the
    form in which `inspect.signature` finds it and `__doc__` leaves it out."""
    from Cython.Compiler import AutoDocTransforms
    from Cython.Compiler.Nodes import CClassDefNode
    from Cython.Compiler.StringEncoding import EncodedString

    transform = AutoDocTransforms.EmbedSignature
    visit = transform.visit_DefNode

    def visit_and_show(self: Any, node: Any) -> Any:
        visit(self, node)
        if node.name == "__init__" and isinstance(self.class_node, CClassDefNode):
            keywords = node.num_kwonly_args
            arguments = node.args, 0, len(node.args) - keywords - 1, node.star_arg
            signature = self._fmt_signature(
                None, self.class_name, *arguments, keywords, node.starstar_arg, hide_self=True
            )
            scope = self.class_node.entry.type.scope
            scope.doc = EncodedString(f"{signature}\n--\n\n{scope.doc or ''}")
        return node

    if visit.__name__ != "visit_and_show":
        transform.visit_DefNode = visit_and_show


def keep_class_directives() -> None:
    """Have Cython (3.3) keep CLASS_DIRECTIVES of a class, as `@cython.freelist(512)` in its `.pxd`,
    when it comes to the class in the `.py`: it forgets them there."""
    from Cython.Compiler.Nodes import CClassDefNode

    analyse = CClassDefNode.analyse_declarations

    def analyse_and_keep(self: Any, env: Any) -> None:
        declared = None if self.in_pxd else env.lookup_here(self.class_name)
        said = declared.type.scope.directives if declared and declared.type.scope else {}
        kept = {name: said[name] for name in CLASS_DIRECTIVES if name in said}
        analyse(self, env)
        if kept and self.scope is not None:
            self.scope.directives = self.scope.directives | kept

    if analyse.__name__ != "analyse_and_keep":
        CClassDefNode.analyse_declarations = analyse_and_keep


def why_not_compiled() -> str | None:
    """`None`: compile. Else why not: "" if that is what was asked for."""
    wanted = os.environ.get("PYBRPC_BUILD") or "whatever is possible"
    if wanted not in ("compiled", "python", "whatever is possible"):
        raise SystemExit(f"PYBRPC_BUILD is python, compiled, or not set; not {wanted!r}")
    if wanted == "python":
        return ""
    obstacle = _obstacle()
    if obstacle is None:
        return None
    if wanted == "compiled":
        raise SystemExit(f"PYBRPC_BUILD=compiled, but {obstacle}")
    _warn(f"pybrpc is NOT compiled: {obstacle}. It runs as plain Python, and slower.")
    return obstacle


def _obstacle() -> str | None:
    """Why nothing can be compiled here; `None` if it can."""
    if sys.implementation.name != "cpython":
        return f"this is {sys.implementation.name}, not CPython"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "the compiled modules rely on the GIL, and this Python is built without it"
    error = why_not_taken("#include <Python.h>\nint trial(void) { return PY_VERSION_HEX != 0; }\n")
    return error and f"a trial with the C compiler failed ({error})"


def why_not_taken(code: str) -> str | None:
    """Why the C compiler does not make an extension module of this code; `None` if it does."""
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory, "trial.c")
        source.write_text(code)
        trial = build_ext(Distribution({"ext_modules": [Extension("trial", [str(source)])]}))
        trial.build_temp = trial.build_lib = directory
        try:
            trial.ensure_finalized()
            trial.run()
        except (CCompilerError, ExecError, PlatformError, OSError) as error:
            return str(error) or type(error).__name__
    return None


def _jobs() -> int:
    return int(os.environ.get("PYBRPC_BUILD_JOBS") or os.cpu_count() or 1)


def _warn(text: str) -> None:
    line = "*" * 79
    print(f"\n{line}\n{text}\n{line}\n", file=sys.stderr, flush=True)


def description() -> str:
    """README.md for a page elsewhere: with links to the files of this release in the repository."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    repository, tag = project["urls"]["Repository"], f"v{project['version']}"
    readme = (ROOT / "README.md").read_text()
    # Pictures are files, not pages about files.
    readme = re.sub(r"(!\[[^]]*\])\((?=docs/)", rf"\1({repository}/raw/{tag}/", readme)
    return re.sub(r"\]\((?![a-z]+:|#)", f"]({repository}/blob/{tag}/", readme)


NOT_COMPILED = why_not_compiled()

setup(
    long_description=description(),
    long_description_content_type="text/markdown",
    ext_modules=hot_modules() if NOT_COMPILED is None else [],
    cmdclass={"build_ext": BuildHotModules},
    # pip hides what a build prints, but shows the name of the wheel.
    options={"bdist_wheel": {"build_number": "0_NOT_COMPILED"}} if NOT_COMPILED else {},
)
