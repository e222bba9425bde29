# `make` alone lists the verbs: those of every day, those before a release, and those of research.
#
# Each verb sets up what it needs in .venv/<Python version>, so that it runs on a machine with
# just Python (3.11 or newer), a compiler and make. A stamp per extra makes a second run quick.
# Another Python, with an environment of its own:  make test PYTHON=python3.12
# More arguments:  make test ARGS="-k iobuf",  make bench ARGS=--quick
# Tests run in several processes; one after the other, as a debugger wants:  make test JOBS=0
#
# All run the plain Python of src/. To run the hot modules compiled, where there is a C compiler:
# make test IMPL=compiled,  make bench IMPL=compiled

PYTHON ?= python3
ARGS ?=
IMPL ?= python
# More than there are processors: most tests wait most of the time.
JOBS ?= 4
export PYBRPC_IMPL := $(IMPL)
# Tests start hundreds of processes, each of which would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

# As "3.11", "3.13t" without a GIL, "3.13t-tsan" if built with ThreadSanitizer too.
VERSION := $(shell $(PYTHON) -c 'import sys, sysconfig; print("%d.%d%s%s" % \
    (*sys.version_info[:2], sys.abiflags, \
    "-tsan" * ("-fsanitize=thread" in (sysconfig.get_config_var("CFLAGS") or ""))))')
ifeq ($(VERSION),)
$(error $(PYTHON) does not run; say which Python to use: make PYTHON=/path/to/python3)
endif
VENV := .venv/$(VERSION)
BIN := $(VENV)/bin
STAMP := $(VENV)/stamp
COMPILED := $(if $(filter compiled,$(IMPL)),$(STAMP)-compiled)
HOT := $(shell find src -name '*.pxd')

# Compiled modules rely on the GIL.
CAN_COMPILE = test -z "$(findstring t,$(VERSION))" && echo '\#include <Python.h>' | $(CC) -fsyntax-only \
    -x c -I"$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')" - 2> /dev/null

ADDRESS := $(CURDIR)/build/address-$(VERSION)
ADDRESS_FLAGS := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
# They run the bench, the model, the soak or valgrind, or measure resident memory, which a sanitizer
# adds to, or freelists, without which setup.py compiles for one.
RESIDENT := test_many_connections.py::test_idle_connections_cost_little_memory_and_no_thread
UNSANITIZED := $(addprefix --deselect=tests/integration/,$(RESIDENT) \
    test_bench.py test_soak.py test_verification.py) --deselect=tests/unit/bench/test_instructions.py \
    --deselect=tests/unit/test_implementation.py::test_objects_of_each_call_come_from_a_freelist
STRESS ?=

QUICK := tests/unit tests/property tests/golden tests/contract \
    -m "not slow and not proof" --hypothesis-profile=quick --schedules=10

.DEFAULT_GOAL := help
.PHONY: help demo format unit check test programs compiled docs clean
.PHONY: failed-again wheels pyright ci build stress fuzz soak network flat sanitize sanitize-thread
.PHONY: bench bench-quick coverage mutate pictures verify
.DELETE_ON_ERROR:

help:
	@echo "Every day"
	@echo "  make demo      a server, and a client that calls it from many threads over one connection"
	@echo "  make format    ruff's format, and what it can mend by itself"
	@echo "  make unit      the fast tests, in about half a minute  (ARGS: what pytest takes; JOBS=auto)"
	@echo "  make check     format, lint, types, layers"
	@echo "  make test      all tests but the proofs                (ARGS: what pytest takes; JOBS=4)"
	@echo "  make programs  what some tests start: redis-server, spin, ... (apt-get; as root)"
	@echo "  make compiled  the hot modules, compiled into src/     (IMPL=compiled does it when needed)"
	@echo "  make docs      the documentation, in English and Chinese, into site/"
	@echo "  make clean     remove .venv/ and all that was built"
	@echo "Before a release"
	@echo "  make ci        what every change must pass: .ci/run    (BUDGET_S=2520)"
	@echo "  make pyright   do pyright and mypy agree on the types of the API?"
	@echo "  make build     sdist and wheel, into dist/             (PYBRPC_BUILD=compiled|python)"
	@echo "  make wheels    compiled wheels for each Python at hand, installed and tried"
	@echo "  make stress    many interleavings of the write path, and threads that write all at once"
	@echo "  make proofs    models, mutants, cut links, the tools' own tests: what make test leaves out"
	@echo "  make fuzz      a minute of hostile bytes for each parser          (ARGS: targets, --seconds)"
	@echo "  make soak      half an hour of calls through a faulty proxy       (ARGS: --minutes, --seed)"
	@echo "  make network   calls between two hosts over a wire that fails; Linux  (ARGS: --sample 20)"
	@echo "  make flat      a million calls and messages, 100,000 connections and streams: is memory flat?"
	@echo "  make sanitize  all tests, compiled with AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "  make sanitize-thread  the stress under ThreadSanitizer (PYTHON: an interpreter built with it)"
	@echo "Research"
	@echo "  make bench     calls per second beside other libraries  (ARGS: --only, --quick; IMPL=compiled)"
	@echo "  make bench-quick  the headline ratios, in a minute"
	@echo "  make coverage  does every module's own test file run 95 % of it?  (ARGS: parts of paths)"
	@echo "  make mutate    which small changes to the code do its tests miss? (ARGS: write_queue, ...)"
	@echo "  make pictures  the screenshots of pages in docs/images/   (needs chromium and pngquant)"
	@echo "  make verify    the model of the write path, in every interleaving (needs spin and gcc)"

# Compiled where there is a C compiler for this Python, unless IMPL says what to run.
demo: $(STAMP)-demo $(COMPILED)
	@form=$(if $(filter file,$(origin IMPL)),,$(IMPL)); \
	if [ -z "$$form" ]; then \
	    form=python; \
	    if $(CAN_COMPILE); then \
	        $(MAKE) --question --silent compiled || \
	            echo "Compiling the hot modules, a minute or two, once. IMPL=python leaves it out."; \
	        $(MAKE) --silent compiled && form=compiled; \
	    else \
	        echo "There is no C compiler, or no Python.h, so the demo runs as plain Python."; \
	    fi; \
	fi; \
	PYBRPC_IMPL=$$form $(BIN)/python -m demo $(ARGS)

# What it can't mend, `make check` tells.
format: $(STAMP)-dev
	$(BIN)/ruff check --fix --exit-zero --silent
	$(BIN)/ruff format

# Fewer examples and interleavings than `make test`, and nothing that takes seconds. These tests
# compute most of the time, so there is a process for each processor.
unit: JOBS = auto
unit: $(STAMP)-test $(COMPILED)
	$(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=worksteal --quiet $(QUICK) $(ARGS)

test: $(STAMP)-test $(COMPILED)
	$(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=worksteal $(ARGS)

# After `make test` has failed, with its output as input. .ci/run uses it.
failed-again: $(STAMP)-test $(COMPILED)
	@$(BIN)/python -m verification.failed_again

# Compiled wheels for each Python at hand, installed in empty environments.
wheels: $(STAMP)-build $(STAMP)-test
	PYBRPC_WHEELS=all $(BIN)/python -m pytest -m proof $(ARGS) tests/integration/test_packages.py

# The packages are built too, with what `make build` needs.
proofs: $(STAMP)-bench $(STAMP)-build $(STAMP)-test $(COMPILED)
	$(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=worksteal -m proof $(ARGS)

check: $(STAMP)-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/python -m verification.prose

# A second opinion on the types that users see. It comes with a Node.js of its own, 200 MB.
pyright: $(STAMP)-pyright
	$(BIN)/pyright --pythonpath $(BIN)/python $(ARGS)

# Of the plain Python: compiled code shows no lines, and can't be changed while it runs.
coverage: $(STAMP)-coverage
	$(BIN)/python -m verification.coverage --jobs=$(JOBS) $(ARGS)

mutate: $(STAMP)-mutation
	$(BIN)/python -m verification.mutation $(ARGS)

bench: $(STAMP)-bench $(COMPILED)
	$(BIN)/python -m bench $(ARGS)

bench-quick: $(STAMP)-bench $(COMPILED)
	$(BIN)/python -m bench quick $(ARGS)

soak: $(STAMP)-soak $(COMPILED)
	$(BIN)/python -m soak $(ARGS)

network: $(STAMP)-soak $(COMPILED)
	$(BIN)/python -m soak.network $(ARGS)

flat: $(STAMP)-soak $(COMPILED)
	$(BIN)/python -m soak.flat $(ARGS)

stress: $(STAMP)-test $(COMPILED)
	$(BIN)/python -m pytest tests/stress tests/unit/transport/test_interleavings.py \
	    --schedules 20000 --rounds 5 --each-kind -o timeout=0 -o faulthandler_timeout=0 $(ARGS)

fuzz: $(STAMP)-fuzz $(STAMP)-test $(COMPILED)
	$(BIN)/python -m fuzz $(ARGS)

verify: $(STAMP)-test
	$(BIN)/python -m verification --full $(ARGS)

# docs/verification.md says what is in it and why. A child process that reports must fail it too.
sanitize: $(STAMP)-test $(ADDRESS)/made
	rm -f $(ADDRESS)/report.*
	env PYTHONPATH=$(ADDRESS)/lib PYBRPC_IMPL=compiled PYTHONMALLOC=malloc PYBRPC_STRESS=$(or $(STRESS),0.2) \
	    ASAN_OPTIONS=detect_leaks=0:log_path=$(ADDRESS)/report \
	    UBSAN_OPTIONS=print_stacktrace=1:log_path=$(ADDRESS)/report \
	    LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
	    $(BIN)/python -m pytest -o "pythonpath=$(ADDRESS)/lib ." \
	    --timeout=600 -o faulthandler_timeout=300 $(UNSANITIZED) $(ARGS)
	@! cat $(ADDRESS)/report.* 2> /dev/null

sanitize-thread: $(STAMP)-threads
	env PYBRPC_IMPL=python $(if $(findstring t-,$(VERSION)),PYTHON_GIL=0) PYBRPC_STRESS=$(or $(STRESS),0.02) \
	    $(BIN)/python -m pytest -o faulthandler_timeout=0 --timeout=900 \
	    $(or $(ARGS),tests/stress/test_write_path.py tests/unit/base/test_atomic.py)

pictures: $(STAMP)-test
	$(BIN)/python -m tests.peers.pictures $(ARGS)

docs: $(STAMP)-docs
	$(BIN)/properdocs build --strict $(ARGS)
	$(if $(wildcard docs/zh),$(BIN)/properdocs build --strict --config-file properdocs.zh.yml $(ARGS))

# What tests start: a real Redis, Spin and others. It says which tests need which; without one of
# them they are skipped, or fail if PYBRPC_PROGRAMS=required.
programs:
	@$(PYTHON) -m tests.peers.programs

compiled: $(STAMP)-compiled

ci:
	.ci/run

# The wheel is made from the sdist, and so shows whether that is complete. PYBRPC_BUILD, if set, is
# what setup.py takes: `compiled` fails without a C compiler, `python` makes a py3-none-any wheel.
build: $(STAMP)-build
	$(BIN)/python -m build --no-isolation --outdir dist $(ARGS)

clean:
	rm -rf .venv build dist site bench/results .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf src/*.egg-info
	find src -name '*.so' -delete
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

$(VENV)/made:
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(STAMP)-compiled: setup.py $(HOT) $(HOT:.pxd=.py) $(STAMP)-build
	@touch $@.began
	PYBRPC_BUILD=compiled $(BIN)/python setup.py --quiet build_ext --inplace
	@mv $@.began $@

$(ADDRESS)/made: setup.py $(shell find src -name '*.py' -o -name '*.pxd') $(STAMP)-build
	PYBRPC_BUILD=compiled CFLAGS="$(ADDRESS_FLAGS)" LDFLAGS="$(ADDRESS_FLAGS)" \
	    $(BIN)/python setup.py --quiet build --force --build-base $(ADDRESS) --build-lib $(ADDRESS)/lib
	@touch $@

# cereggii is compiled here, or its atomics would be races to ThreadSanitizer.
$(STAMP)-threads: pyproject.toml $(VENV)/made
	@test -n "$(filter %-tsan,$(VERSION))" || { echo "$(PYTHON) is not built with ThreadSanitizer; say which Python is:" \
	    "make sanitize-thread PYTHON=/path/to/python (see docs/verification.md)" >&2; exit 2; }
	PATH="$(abspath $(BIN)):$$PATH" CEREGGII_TSAN=1 PYBRPC_BUILD=python $(BIN)/python -m pip install \
	    --quiet --disable-pip-version-check --no-binary cereggii --no-cache-dir --editable '.[threads]'
	@touch $@

# Two in one, which is quicker than one after the other. Most modules of Cython are not imported, so
# what is imported is compiled to bytecode then.
$(STAMP)-demo: pyproject.toml $(VENV)/made
	PYBRPC_BUILD=python $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile \
	    --editable '.[demo,build]'
	@touch $@ $(STAMP)-build

$(STAMP)-%: pyproject.toml $(VENV)/made
	PYBRPC_BUILD=python $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --editable '.[$*]'
	@touch $@
