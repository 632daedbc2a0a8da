# Two commands matter: `make lab` opens the course, `make test` runs what CI runs. Both set up what they need.
#
#   make lab TORCH_INDEX=https://…           an index with CPU builds of torch (PyTorch's installation page names it)
#   make lab PYTHON=/path/to/python3.12                           another interpreter
#   make lab LAB_ARGS="--no-browser --port 8890"                  anything JupyterLab takes

.DEFAULT_GOAL := help
.PHONY: help lab test check lint unit solutions-run install gl notebooks solutions bench constraints clean

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DRAWS := $(VENV)/.draws
TORCH_INDEX ?=
LAB_ARGS ?=

FITS := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(FITS)' 2>/dev/null && { command -v $$p; break; }; done)

# One thread a process: two workers on two cores must not fight.
export OMP_NUM_THREADS ?= 1
export LP_NUM_THREADS ?= 1
# Where this is set, every process compiles torch and transformers anew, eight seconds each time, and tests start dozens.
export PYTHONDONTWRITEBYTECODE :=

help:
	@echo "make lab    open the course in JupyterLab"
	@echo "make test   run everything that CI runs"
	@echo "            (also: notebooks, solutions, bench, constraints, clean)"

lab: $(INSTALLED) gl
	$(BIN)/jupyter lab --ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/notebooks \
		$(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_ARGS)

test: lint unit solutions-run

check: test

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python tools/build_notebooks.py --check
	$(BIN)/python tools/list_assets.py --check

unit: $(INSTALLED) gl
	$(BIN)/python -m pytest -n 2 --dist worksteal tests

# Lax: every cell must run. Cells marked `# NBVAL_CHECK_OUTPUT` must also print what is stored.
solutions-run: $(INSTALLED) gl
	VLA_COURSE_HOME="$$(mktemp -d)" $(BIN)/python -m pytest -n 2 --dist loadfile \
		--nbval-lax --nbval-current-env --nbval-cell-timeout=300 solutions

install: $(INSTALLED)

# torch first, so that an index with a CPU build decides which build it is; the second line finds it satisfied.
$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --no-compile -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(BIN)/python -m pip install -q --no-compile -c constraints.txt -e ".[lab,test]"
	@touch $@

# Missing OpenGL libraries are installed where apt may be used; elsewhere the command is printed and work goes on.
gl: $(INSTALLED)
	@test -e $(DRAWS) || { $(BIN)/vla-course doctor --install-gl && touch $(DRAWS); } || echo "(everything but pictures works without)"

notebooks: $(INSTALLED)
	$(BIN)/python tools/build_notebooks.py
	$(BIN)/python tools/list_assets.py

solutions: $(INSTALLED) gl
	$(BIN)/python tools/build_notebooks.py --execute $(DAYS)
	$(BIN)/python tools/list_assets.py

bench: $(INSTALLED) gl
	set -e; for program in benchmarks/*.py; do echo "== $$program"; $(BIN)/python $$program; done
	$(BIN)/python tools/list_assets.py

# Exact pins of everything, from a clean environment; the build suffix of torch (+cpu, +cu…) is the machine's business.
constraints:
	folder=$$(mktemp -d) && $(PYTHON) -m venv $$folder \
		&& $$folder/bin/python -m pip install -q --no-compile "torch==2.13.0" ".[lab,test,gpu]" \
		&& $$folder/bin/python -m pip freeze --exclude vla-course --exclude setuptools | sed -E '/ @ /d; s/\+(cpu|cu[0-9]+)$$//' \
		| grep -vE '^(nvidia-|triton|cuda-)' > constraints.txt && rm -rf $$folder build

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
