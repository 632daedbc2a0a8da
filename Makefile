# Two commands matter: `make lab` opens the course, `make test` runs what CI runs. Both set up what they need.
#
#   make lab TORCH_INDEX=https://…           an index with CPU builds of torch (PyTorch's installation page names it)
#   make lab PYTHON=/path/to/python3.12                           another interpreter
#   make lab LAB_ARGS="--no-browser --port 8890"                  anything JupyterLab takes

.DEFAULT_GOAL := help
.PHONY: help lab test check test-newest lint unit solutions-run install gl notebooks solutions bench constraints clean

# One environment: the one of environment.yml where it is active, else .venv.
VENV := $(if $(filter vla-course,$(notdir $(CONDA_DEFAULT_ENV))),$(CONDA_PREFIX),.venv)
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TESTS := $(VENV)/.tests-installed
DRAWS := $(VENV)/.draws
TRUSTED := $(VENV)/.trusted
PINS := -c constraints.txt
LOCK := requirements.lock
SOLUTIONS := solutions
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
	@echo "            (also: test-newest, notebooks, solutions, bench, constraints, clean)"

lab: $(INSTALLED) gl $(TRUSTED)
	$(BIN)/jupyter lab --ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/notebooks \
		$(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_ARGS)

test: lint unit solutions-run

check: test

lint: $(TESTS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/build_notebooks.py --check
	$(BIN)/python tools/list_assets.py --check

unit: $(TESTS) gl
	$(BIN)/python -m pytest -n 2 --dist worksteal tests

# Lax: every cell must run. Cells marked `# NBVAL_CHECK_OUTPUT` must also print what is stored.
solutions-run: $(TESTS) gl
	VLA_COURSE_HOME="$$(mktemp -d)" $(BIN)/python -m pytest -n 2 --dist loadfile \
		--nbval-lax --nbval-current-env --nbval-cell-timeout=300 $(SOLUTIONS)

# What people have who install without our pins (Colab): the newest version of everything that pyproject.toml allows.
test-newest:
	rm -rf .venv-newest
	$(MAKE) VENV=.venv-newest PINS= LOCK= SOLUTIONS="$(wildcard $(addsuffix *.ipynb,$(addprefix solutions/day,01 03 06 07)))" unit solutions-run

install: $(INSTALLED)

# Everything but torch comes with hashes. Then torch alone, so that an index with a CPU build decides which build it is. The last line
# finds all that satisfied, and adds the course and what only other systems need.
$(INSTALLED): pyproject.toml constraints.txt requirements.lock
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { $(NEW_ENVIRONMENT); }
	@echo "Installing the course into $(VENV): $(SIZE) on disk, some minutes the first time. Later starts take seconds."
	$(if $(LOCK),$(BIN)/python -m pip install --no-compile --require-hashes --no-deps -r $(LOCK))
	$(BIN)/python -m pip install --no-compile $(PINS) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(BIN)/python -m pip install --no-compile $(PINS) -e ".[lab,gpu]"
	@touch $@

SIZE = $(if $(TORCH_INDEX),1.7 GB with a CPU build of torch,5.5 GB if pip brings torch with CUDA (as on Linux), 1.7 GB otherwise)

# Debian's Python leaves half an environment, without pip, where its package python3-venv is missing.
ifeq ($(VENV),$(CONDA_PREFIX))
NEW_ENVIRONMENT = echo "The conda environment $(VENV) has no pip: conda install pip"; exit 1
else
NEW_ENVIRONMENT = test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }; \
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	echo "$(PYTHON) could not make the environment $(VENV): its reason stands above."; \
	echo "On Debian or Ubuntu: sudo apt install python3-venv, then the same make command again."; exit 1; }
endif

$(TESTS): $(INSTALLED)
	$(BIN)/python -m pip install --no-compile $(PINS) -e ".[lab,gpu,test]"
	@touch $@

# Missing OpenGL libraries are installed where apt may be used; elsewhere the command is printed and work goes on.
gl: $(INSTALLED)
	@test -e $(DRAWS) || { $(BIN)/vla-course doctor --install-gl && touch $(DRAWS); } || echo "(everything but pictures works without)"

# Untrusted notebooks show no films. Only those whose content assets.sha256 lists are trusted, once for each version of it.
$(TRUSTED): $(INSTALLED) vla_course/assets.sha256
	@$(BIN)/python tools/trust_notebooks.py && touch $@

notebooks: $(INSTALLED)
	$(BIN)/python tools/build_notebooks.py
	$(BIN)/python tools/list_assets.py

solutions: $(INSTALLED) gl
	$(BIN)/python tools/build_notebooks.py --execute $(DAYS)
	$(BIN)/python tools/list_assets.py

bench: $(TESTS) gl
	set -e; for program in benchmarks/*.py; do echo "== $$program"; $(BIN)/python $$program; done
	$(BIN)/python tools/list_assets.py

# Exact versions of everything, and the hashes of what a learner installs, from a clean environment.
constraints:
	$(PYTHON) tools/pin_versions.py && rm -rf build

clean:
	rm -f $(INSTALLED) $(TESTS) $(DRAWS) $(TRUSTED)
	rm -rf .venv .venv-newest build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
