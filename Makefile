# Each command creates .venv where it is missing; nothing else is needed but Python.
.DEFAULT_GOAL := help
.PHONY: help book test html pdf outputs sync lock venv
SHELL := /bin/sh
ARGS ?=

# The first Python on the path that runs the book and can make virtual environments.
find_python = for python in python3.11 python3.12 python3.13 python3 python none; do \
	$$python -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && break; done; \
	if [ $$python = none ]; then printf '%s\n' \
	'Python 3.11, 3.12 or 3.13 (with venv) is needed and was not found. Two ways to one:' \
	'  uv:     uv python install 3.11, then the same make command' \
	'  conda:  conda env create -f environment.yml; conda activate asclib' >&2; exit 1; fi

help:  ## list the commands
	@echo 'make book     run every chapter, then render the book to output/html'
	@echo '              ARGS="-p seed 3 -p data_root DIR --only rrs" reruns with parameters'
	@echo '              ARGS="-p profile tau -p data_root DIR --plan" only says what it would cost'
	@echo 'make test     all tests, and every chapter compared with its committed outputs'
	@echo '              ARGS="-k driver" goes to pytest'
	@echo 'make html     render the committed notebooks to _build/html, warnings are errors'
	@echo 'make pdf      print those pages to _build/pdf/book.pdf (needs Chromium)'
	@echo 'make outputs  re-execute the chapters and write the committed notebooks'
	@echo '              ARGS="--only rrs" one of them, or a part: "--only distillation"'
	@echo 'make sync     bring the notebooks up to date with their .py, executing nothing'
	@echo 'make lock     resolve pyproject.toml into requirements.lock and environment.yml'
	@echo '              ARGS=--upgrade takes the newest versions'

venv:
	@$(find_python); $$python tools/environment.py install

book html pdf outputs sync: venv
	@.venv/bin/python -m tools.book $@ $(ARGS)

# Two files at a time, in order; a thread that waits must not keep a core from the other's.
test: venv
	@OMP_WAIT_POLICY=passive .venv/bin/python -m pytest --nbval \
		-n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lock:
	@$(find_python); $$python tools/environment.py lock $(ARGS)
