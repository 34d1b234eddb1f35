# Everything is installed into $(VENV); the system's Python is never touched.

# The Python that makes the environment, 3.10 or newer
PYTHON ?= python3
# Where the environment is
VENV ?= .venv
# The PyTorch build: empty is what pip gives, cpu is a fraction of its size, auto fits the hardware, cu126 and others by name
TORCH_BACKEND ?=
# What train.py or pytest is called with
ARGS ?=

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed$(TORCH_BACKEND:%=-%)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install train test lint docs format clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "make %-8s  %s\n", $$1, $$2}' Makefile

install: $(STAMP) ## make .venv with the pinned versions; TORCH_BACKEND=cpu for the small build of PyTorch, auto for the fitting one
train: $(STAMP) ## install what is missing, then train digits on request; ARGS="experiment=gaussian" chooses what
	$(BIN)/python train.py $(or $(ARGS),experiment=digits)

test: $(STAMP)-test ## install what is missing, then run the tests; ARGS="-k fid" chooses which, ARGS="-m slow" the slow ones
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(STAMP)-dev ## check style, layers of imports, types and the Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/hadolint docker/Dockerfile

format: $(STAMP)-dev ## put the code into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)-dev ## build the documentation into site/, failing on dead links
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo site/index.html

clean: ## remove caches and build products; outputs/ and .venv stay
	rm -rf build dist site .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -path './$(VENV)' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP)-test: EXTRAS := [test]
$(STAMP)-dev: EXTRAS := [dev]

# The stamp is written last, so that an interrupted install is repeated and not taken for a finished one.
$(STAMP) $(STAMP)-test $(STAMP)-dev: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || \
		{ echo "There is no $(PYTHON): install Python 3.10 or newer, or name it, as in make install PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "$(PYTHON) is older than Python 3.10: name a newer one, as in make install PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make environments: install its venv package (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
ifeq ($(TORCH_BACKEND),)
	$(BIN)/python -m pip install -c constraints.txt -e '.$(EXTRAS)'
else
	$(BIN)/python -m pip install -c constraints.txt uv
	$(BIN)/uv pip install --python $(BIN)/python --torch-backend=$(TORCH_BACKEND) \
		--reinstall-package torch --reinstall-package torchvision -c constraints.txt -e '.$(EXTRAS)'
endif
	@touch $@
