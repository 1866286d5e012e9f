# Every target makes .venv on demand, from the package index, and again when pyproject.toml changes.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

# What the second run, in 64-bit mode, leaves out: the trainer, whose precision is explicit, the
# page, which computes in a browser, and tests that compute nothing or only draw.
NOT_ANALYSIS := tests/trainer t2jax/trainer tests/test_architecture.py tests/test_public_api.py \
	tests/test_readme.py tests/test_page.py tests/test_page_solver.py tests/test_cli_fuzz.py \
	tests/test_cli_shell.py tests/test_read_fuzz.py tests/test_read_traps.py \
	tests/test_figures.py tests/test_figures_of_draws.py tests/test_html.py \
	tests/test_quickstart.py tests/test_importers.py tests/test_importers_fuzz.py \
	tests/test_importers_losses.py tests/test_tables_as_they_are.py

# A file's tests stay on one worker, so that what they share is made once.
PYTEST := $(BIN)/pytest -q -n 2 --dist loadfile --benchmark-disable -m "not slow"

# Compiled programs are kept, so that workers share them and the 64-bit run, whose analysis
# compiles to the very same programs, reuses them.
test slow: export JAX_COMPILATION_CACHE_DIR := $(CURDIR)/.venv/.jax
test slow: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS := 0

.PHONY: .venv demo test slow bench lint mutants docs
.DELETE_ON_ERROR:

.venv: .venv/.product

# The product alone: what the demo needs.
.venv/.product: pyproject.toml
	@echo "setting up .venv (a minute or two, once)"
	@$(PYTHON) -m venv .venv
	@$(PIP) install -e .
	@touch $@

# The product with the checks and the referees.
.venv/.dev: pyproject.toml
	@echo "setting up .venv with the development tools (a few minutes, once)"
	@$(PYTHON) -m venv .venv
	@$(PIP) install -e '.[dev]'
	@touch .venv/.product $@

# The product with what builds the site.
.venv/.docs: pyproject.toml
	@echo "setting up .venv with the documentation tools (a minute or two, once)"
	@$(PYTHON) -m venv .venv
	@$(PIP) install -e '.[docs]'
	@touch .venv/.product $@

demo: .venv/.product
	$(BIN)/t2jax plan --out report/

lint: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright

test: lint
	$(PYTEST)
	JAX_ENABLE_X64=1 $(PYTEST) $(NOT_ANALYSIS:%=--ignore=%)

slow: .venv/.dev
	$(BIN)/pytest -q --benchmark-disable -m slow

# Hours for all of them; a pass that was stopped goes on where it was. No part of `make test`.
mutants: .venv/.dev
	$(BIN)/python tests/mutants.py

# Threads are pinned before Python starts: plugins load NumPy before a benchmark could.
bench: export OMP_NUM_THREADS := 1
bench: export OPENBLAS_NUM_THREADS := 1
bench: .venv/.dev
	$(BIN)/pytest -q benchmarks -p no:xdist --benchmark-only

# What the site is made of: its pages, and whatever they link to.
PAGES := README.md CONTRIBUTING.md VISION.md CHANGELOG.md CITATION.cff LICENSE docs experiments
LINKED := tests/test_architecture.py t2jax/datasets/ladder/PROVENANCE.md

docs: .venv/.docs
	@rm -rf build/pages && mkdir -p build/pages
	@for page in $(PAGES) $(LINKED); do \
		mkdir -p build/pages/$$(dirname $$page) && ln -s $(CURDIR)/$$page build/pages/$$page; done
	$(BIN)/mkdocs build --strict
