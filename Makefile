# Every target sets up what it needs in .venv; all a machine must have is Python 3.11 or newer and make.

PYTHON ?= python3
# Where nobody names an interpreter, the first of these that is new enough is taken.
ifeq ($(origin PYTHON),file)
PYTHON := python3 python3.14 python3.13 python3.12 python3.11
endif

VENV := .venv
BIN := $(VENV)/bin

# What each kind of work needs beside the package: `make demo` needs $(demo_needs), and so on.
demo_needs := --editable '.[eval,files]'
test_needs := $(demo_needs) --group test
ray_needs := --editable '.[cli,files,ray]' --group test
torch_needs := --editable '.[eval,files,text,image]' --group test
guests_needs := --editable '.[eval,files,langchain,llama-index]' --group guests
bench_needs := --editable '.[eval,files,compress]'
lint_needs := $(demo_needs) --group lint
all_needs := --editable '.[all]' --group dev

.PHONY: help demo test test-ray test-torch test-guests test-all test-oldest lint figures bench soak clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(VENV)/.for-demo ## build, search and compare indexes of real embeddings; results in demo_output/
	@$(BIN)/lplr-index demo --output demo_output

# The command pytest, not `python -m pytest`: that would put the repository's datasets/ on the import path,
# where Hugging Face's package of this name is looked for.
test: $(VENV)/.for-test ## run the tests; ARGS="tests/test_bits.py -x" goes to pytest
	@$(BIN)/pytest -m "not slow and not ray and not torch and not guests" $(ARGS)

test-ray: $(VENV)/.for-ray ## run the tests that need Ray, which start a cluster of several processes and kill some
	@$(BIN)/pytest -m ray $(ARGS)

# On Linux pip takes a torch with gigabytes for GPUs, unless it is shown to one without:
# make test-torch PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
test-torch: $(VENV)/.for-torch ## run the tests that need torch, which embed real texts and images
	@$(BIN)/pytest -m torch $(ARGS)

test-guests: $(VENV)/.for-guests ## run the tests of LangChain, LlamaIndex and polars, and LangChain's own
	@$(BIN)/pytest -m guests $(ARGS)

test-all: $(VENV)/.for-all ## run also the slow tests, and those that need Ray, torch, LangChain, LlamaIndex or polars
	@$(BIN)/pytest $(ARGS)

# Old packages have no wheels for new interpreters: make test-oldest PYTHON=python3.11
test-oldest: ## run the tests with the oldest versions that pyproject.toml allows
	@mkdir -p .venv-oldest
	@grep -o '"[a-z][a-z0-9-]*>=[0-9.]*"' pyproject.toml | tr -d '"' | sed 's/>=/==/' | sort -u >.venv-oldest/constraints.txt
	@PIP_CONSTRAINT=$(CURDIR)/.venv-oldest/constraints.txt $(MAKE) --no-print-directory test VENV=.venv-oldest

lint: $(VENV)/.for-lint ## check style, layout and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

soak: $(VENV)/.for-test ## use a store for ten minutes, then kill its writer 2,000 times; results in soak_output/
	@mkdir -p soak_output
	@$(BIN)/python benchmarks/soak.py --seconds 600 -o soak_output/soak.json
	@$(BIN)/python benchmarks/crashes.py --kills 2000 -o soak_output/crashes.json

figures: $(VENV)/.for-demo ## redraw the tables, pictures and pages of README and docs from benchmarks/results
	@$(BIN)/python benchmarks/figures.py --write >/dev/null
	@$(BIN)/python benchmarks/quality_plots.py --write >/dev/null
	@$(BIN)/python benchmarks/paper.py --write
	@$(BIN)/python benchmarks/images.py --write
	@$(BIN)/python benchmarks/hera.py --write
	@$(BIN)/python benchmarks/papers.py --write
	@$(BIN)/python benchmarks/layers.py --write
	@$(BIN)/python benchmarks/scale.py --rows 0 --write >/dev/null
	@$(BIN)/python benchmarks/ivf_codes.py --again --write >/dev/null
	@$(BIN)/python benchmarks/ivf.py --again benchmarks/results/ivf.json --write >/dev/null
	@$(BIN)/python benchmarks/speed.py --again benchmarks/results/speed.json --write >/dev/null

bench: $(VENV)/.for-bench ## run every benchmark, one after the other
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script; done

clean: ## remove what was made here: the environment, the demo's output, caches
	rm -rf $(VENV) .venv-oldest demo_output soak_output build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# A stamp is newer than pyproject.toml when everything that pyproject.toml asks for is installed.
$(VENV)/.for-%: $(VENV)/.created pyproject.toml
	@echo "Installing what 'make $*' needs into $(VENV), which takes a few minutes the first time"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $($*_needs)
	@touch $@

$(VENV)/.created:
	@for python in $(PYTHON); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; python=; \
	done; \
	if [ -z "$$python" ]; then \
		echo "lplr_index needs Python 3.11 or newer, found none as '$(PYTHON)': make PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$python lacks the module venv: install it (Debian and Ubuntu: apt install python3-venv)" >&2; \
		exit 1; \
	fi; \
	"$$python" -m venv $(VENV)
	@# dependency groups came with pip 25.1
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@touch $@
