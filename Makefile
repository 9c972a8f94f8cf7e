# make run     serve the demo site at http://127.0.0.1:8000
# make test    lints, all Rust tests, pytest on the installed wheel, other Python versions
# make bench   compare with other servers (docs/benchmarks.md)
# make docs    the reference pages that are made from the code
# make wheel   a release wheel, in dist/
# make fmt     format all sources
# make clean   remove all that was made
#
# Needed: Rust, Python >= 3.10 with venv, make, a C compiler. Variables: PYTHON (python3), BIND (127.0.0.1:8000),
# BROWSER=0 (no browser tests), SMOKE_PYTHONS (other interpreters that `make test` tries; empty: none).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3
BIND ?= 127.0.0.1:8000
BROWSER ?=
MATURIN := maturin==1.16.0

# The interpreter itself: what is on the path may be a wrapper.
PYTHON_BIN := $(shell $(PYTHON) -c 'import sys; assert sys.version_info >= (3, 10); print(sys.executable)')
ifeq ($(PYTHON_BIN),)
$(error $(PYTHON) is not a Python of at least 3.10; say another with PYTHON=)
endif

# Rust tests that embed Python need its shared library, which need not lie on the loader's path.
LIBPYTHON_DIR := $(shell $(PYTHON_BIN) -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR") or "")')
export LD_LIBRARY_PATH := $(LIBPYTHON_DIR)$(if $(LD_LIBRARY_PATH),:$(LD_LIBRARY_PATH))

# Said only where PyO3 would choose another interpreter: each change of this variable builds PyO3 anew.
WHICH := -c 'import sys; print(sys.base_prefix, sys.version_info)'
PYO3_CHOICE := $(shell { command -v python || command -v python3; } | head -1)
ifneq ($(shell $(PYO3_CHOICE) $(WHICH) 2>&1),$(shell $(PYTHON_BIN) $(WHICH)))
export PYO3_PYTHON := $(PYTHON_BIN)
endif

# Every other version that pyenv has, 3.10 and newer.
OTHER := -c 'import sys; v = "%d.%d" % sys.version_info[:2]; sys.exit(sys.version_info < (3, 10) or v == sys.argv[1])'
VERSION := $(shell $(PYTHON_BIN) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
ifeq ($(origin SMOKE_PYTHONS),undefined)
SMOKE_PYTHONS := $(shell for python in $(HOME)/.pyenv/versions/*/bin/python3; do \
	if [ -x "$$python" ] && "$$python" $(OTHER) $(VERSION); then echo "$$python"; fi; done)
endif

RUST_SOURCES := Cargo.toml Cargo.lock $(shell find crates -type f \( -name '*.rs' -o -name Cargo.toml \))
PYTHON_SOURCES := pyproject.toml README.md LICENSE $(shell find python -type f \( -name '*.py' -o -name '*.pyi' -o -name py.typed \))
DEMO := tests/sites/demo
RUN := .venv
TEST := .venvs/test
# Tests that wait for most of their time, which they can do at once.
PATIENT := tests/supervisor/test_overtime.py
SMOKE_WHEELS := target/wheels/smoke
# What the front end's tests may find on the machine: a compiler and cargo, and no Python.
BARE := target/bare-path
BARE_TOOLS := cargo rustc rustdoc cc gcc ld as ar sh

.PHONY: run test bench docs wheel fmt clean lint lint-rust lint-python test-rust test-http test-python test-smoke browser

# --- Serving the demo ---

run: $(RUN)/.wheel $(RUN)/.demo
	cd $(DEMO) && $(CURDIR)/$(RUN)/bin/python -m demo.setup
	exec $(RUN)/bin/ironbridge --chdir $(DEMO) --bind $(BIND) demo.wsgi

$(RUN)/.tools:
	$(PYTHON_BIN) -m venv $(RUN)
	$(RUN)/bin/python -m pip install --quiet --disable-pip-version-check "$(MATURIN)"
	touch $@

$(RUN)/.wheel: dist/.wheel
	$(RUN)/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps dist/ironbridge-*.whl
	touch $@

$(RUN)/.demo: $(RUN)/.tools $(DEMO)/requirements.txt
	$(RUN)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $(DEMO)/requirements.txt
	touch $@

# --- The wheel ---

wheel: dist/.wheel

dist/.wheel: $(RUN)/.tools $(RUST_SOURCES) $(PYTHON_SOURCES)
	rm -rf dist/ironbridge-*.whl
	$(RUN)/bin/maturin build --release --locked --interpreter $(PYTHON_BIN) --out dist
	touch $@

# --- Tests ---

test: lint test-rust test-python test-smoke

lint: lint-rust lint-python

lint-rust:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

lint-python: $(TEST)/.tools
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/mypy --strict --python-version 3.10 python/ironbridge tests/serving.py

test-rust: test-http
	cargo test --workspace --exclude ironbridge-http --exclude ironbridge-exchange --locked
	cargo test -p ironbridge-python --features model --lib --locked model::
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --workspace --no-deps --document-private-items --locked --quiet

# The front end builds and passes its tests where there is no interpreter.
test-http:
	rm -rf $(BARE) && mkdir -p $(BARE)
	for tool in $(BARE_TOOLS); do ln -s "$$(command -v $$tool)" $(BARE)/$$tool; done
	if PATH=$(CURDIR)/$(BARE) command -v python python3; then echo "a Python is on the bare path" >&2; exit 1; fi
	env --unset=PYO3_PYTHON --unset=LD_LIBRARY_PATH PATH=$(CURDIR)/$(BARE) \
		cargo test -p ironbridge-http -p ironbridge-exchange --locked

test-python: browser $(TEST)/.wheel
	$(TEST)/bin/stubtest ironbridge._native --ignore-unused-allowlist --allowlist <(echo ironbridge._native.__all__)
	BROWSER=$(BROWSER) $(TEST)/bin/python -m pytest tests --ignore=$(PATIENT)
	$(TEST)/bin/python -m pytest --numprocesses=6 $(PATIENT)

$(TEST)/.tools: tests/requirements.txt $(DEMO)/requirements.txt
	$(PYTHON_BIN) -m venv $(TEST)
	$(TEST)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	touch $@

$(TEST)/.wheel: $(TEST)/.tools dist/.wheel
	$(TEST)/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps dist/ironbridge-*.whl
	touch $@

# Chromium for the browser tests. Where it cannot be installed from here, they fail and say what is missing.
browser:
	if [ "$(BROWSER)" != 0 ] && ! { command -v chromium && command -v chromedriver; } >/dev/null \
		&& [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update --quiet --quiet; \
		DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes --no-install-recommends \
			chromium chromium-driver curl >/dev/null; \
	fi

# Other Python versions: a wheel that is quick to build, and the tests that walk through everything once.
test-smoke: $(if $(SMOKE_PYTHONS),$(SMOKE_WHEELS)/.built)
	for python in $(SMOKE_PYTHONS); do \
		version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		venv=.venvs/smoke-$$version; \
		echo "--- Python $$version ---"; \
		if [ ! -e $$venv/.tools ] || [ tests/requirements.txt -nt $$venv/.tools ]; then \
			$$python -m venv $$venv; \
			$$venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt; \
			touch $$venv/.tools; \
		fi; \
		$$venv/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps \
			--no-index --find-links $(SMOKE_WHEELS) ironbridge; \
		$$venv/bin/python -m pytest --quiet tests/test_target.py tests/test_demo_curl.py tests/asgi \
			--ignore=tests/asgi/test_starlette_suite.py; \
	done

$(SMOKE_WHEELS)/.built: $(RUN)/.tools $(RUST_SOURCES) $(PYTHON_SOURCES)
	rm -rf $(SMOKE_WHEELS)
	env --unset=PYO3_PYTHON $(RUN)/bin/maturin build --profile smoke --locked --out $(SMOKE_WHEELS) \
		$(foreach python,$(SMOKE_PYTHONS),--interpreter $(python))
	touch $@

# --- The rest ---

bench: dist/.wheel
	$(PYTHON_BIN) -m benches --wheel dist/ironbridge-*.whl $(ARGS)

docs: $(RUN)/.wheel
	$(RUN)/bin/ironbridge --generate docs >docs/options.md.new && mv docs/options.md.new docs/options.md
	$(RUN)/bin/ironbridge --generate types >python/ironbridge/options.py.new
	mv python/ironbridge/options.py.new python/ironbridge/options.py
	$(RUN)/bin/python -m ironbridge._compat.docs docs/gunicorn.md
	cargo doc --workspace --no-deps --locked

fmt: $(TEST)/.tools
	cargo fmt --all
	$(TEST)/bin/ruff check --fix .
	$(TEST)/bin/ruff format .

clean:
	cargo clean
	rm -rf $(RUN) .venvs dist benches/out $(DEMO)/var tests/sites/bench_django/var
