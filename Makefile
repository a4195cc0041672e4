# Each target makes the environment it needs. `make test PYTHON=python3.12` chooses a Python.

VENV := .venv
RUN := $(VENV)/bin/python
FAMILY ?= nmf
WORKERS ?= 2
export PYTHON

.PHONY: help demo test test-oldest lint examples doc bench clean

help:
	@echo "make demo         NMF of real data beside scikit-learn's: figures and a table"
	@echo "make test         the test suite"
	@echo "make test-oldest  the same with the oldest dependencies (Python 3.11 or 3.12)"
	@echo "make lint         style, spelling, import contracts"
	@echo "make examples     the scripts of the gallery, warnings are errors"
	@echo "make doc          the documentation, in doc/_build/html"
	@echo "make bench FAMILY=nmf ARGS=--quick   a family against its peers"
	@echo "make clean        remove the environments and what was built"

# Two installs into one environment would get in each other's way.
.NOTPARALLEL:

# An environment whose Python is gone, as after an upgrade, is made anew.
$(shell for venv in $(VENV) $(VENV)-oldest; do \
    test -x $$venv/bin/python || rm -f $$venv/.installed-*; done)

# A changed pyproject.toml installs anew.
$(VENV)/.installed-%: pyproject.toml tools/bootstrap.sh
	@sh tools/bootstrap.sh $(VENV) $*
	@touch $@

$(VENV)-oldest/.installed-test: pyproject.toml tools/bootstrap.sh tools/oldest.py
	@OLDEST=1 sh tools/bootstrap.sh $(VENV)-oldest test
	@touch $@

demo: $(VENV)/.installed-plot
	$(RUN) demo/run.py --output demo/output

# One BLAS thread a worker: two workers with two threads each get in each other's way.
PYTEST := -m pytest -n $(WORKERS) --dist loadfile
test: export OPENBLAS_NUM_THREADS = 1
test: $(VENV)/.installed-test
	$(RUN) $(PYTEST)

test-oldest: export OPENBLAS_NUM_THREADS = 1
test-oldest: $(VENV)-oldest/.installed-test
	$(VENV)-oldest/bin/python $(PYTEST)

lint: $(VENV)/.installed-lint
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m codespell_lib
	$(VENV)/bin/lint-imports

examples: $(VENV)/.installed-doc
	set -e; for script in examples/plot_*.py; do \
	    echo "$$script"; MPLBACKEND=agg $(RUN) -W error "$$script"; done

doc: $(VENV)/.installed-doc
	$(RUN) -m sphinx -W --keep-going -b html doc doc/_build/html

bench: $(VENV)/.installed-bench
	$(RUN) -m benchmarks.$(FAMILY) $(ARGS)

clean:
	rm -rf $(VENV) $(VENV)-oldest *.egg-info doc/_build doc/api doc/auto_examples
