# Every target makes .venv on demand, from the package index, and again when pyproject.toml changes.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

# What runs again in 64-bit mode. Inside `double` the programs are the same in both modes, so it is
# what computes outside it, and every public function once, by the example in its docstring.
IN_64_BIT := tests/test_precision.py tests/test_laws.py tests/test_law_calls.py \
	tests/test_passk.py tests/test_beta.py tests/test_fit.py tests/test_bootstrap.py \
	tests/test_compare.py tests/test_optimum.py t2jax --ignore=t2jax/trainer

# Tests let XLA optimise little, because they wait for it more than for its programs, and both
# modes share what is compiled inside `double`; `make slow` compiles as users do.
QUICKLY := --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false \
	--xla_cpu_parallel_codegen_split_count=1

# A file's tests stay on one worker, so that what they share is made once; files come in the order
# of their names, which ends with short ones, whereas a lone long test would else come last.
PYTEST := $(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder --benchmark-disable -m "not slow"

# Compiled programs are kept, so that workers and later runs share them.
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
	@if XLA_FLAGS="$(QUICKLY)" $(BIN)/python -c "import jax; jax.devices()" 2>/dev/null; then \
		export XLA_FLAGS="$$XLA_FLAGS $(QUICKLY)"; fi; set -ex; $(PYTEST); \
		JAX_ENABLE_X64=1 $(PYTEST) $(IN_64_BIT)

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
PAGES := README.md CONTRIBUTING.md VISION.md SECURITY.md CHANGELOG.md CITATION.cff LICENSE docs experiments
LINKED := tests/test_architecture.py t2jax/datasets/ladder/PROVENANCE.md t2jax/trainer/config.py \
	benchmarks/results/accelerator.txt

docs: .venv/.docs
	@rm -rf build/pages && mkdir -p build/pages
	@for page in $(PAGES) $(LINKED); do \
		mkdir -p build/pages/$$(dirname $$page) && ln -s $(CURDIR)/$$page build/pages/$$page; done
	$(BIN)/mkdocs build --strict
