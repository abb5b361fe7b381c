# What a person types: make demo, make check, make test, make lab, make bench. Needs Python 3.11 or 3.12; uses uv when it is on the PATH.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

help:  ## this text
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## make .venv with the exact versions of constraints.txt (does nothing when it is up to date)

$(READY): settings.ini setup.py constraints.txt scripts/make_venv.sh
	@bash scripts/make_venv.sh $(VENV)
	@touch $(READY)

demo: setup  ## the whole flow on a simulated archive: simulate, check, convert, train, report
	@$(BIN)/ben-demo

check: setup  ## what needs no running: notebooks clean, modules in step, ruff, types, links (a few seconds)
	@$(BIN)/python scripts/checks.py

test: setup  ## the same checks, then every notebook's tests, slow ones too (eight minutes on two cores)
	@$(BIN)/python scripts/run_tests.py slow

hook: setup  ## let git run 'make check' before every commit (remove .git/hooks/pre-commit to undo)
	@bash scripts/install_hook.sh

docs: setup  ## build the site into _docs: the book, the commands, the modules, the records; no network is used
	@$(BIN)/python scripts/docs.py

lab: setup  ## open JupyterLab on the notebooks
	@$(BIN)/jupyter lab --notebook-dir=. nbs/index.ipynb

bench: export BEN_REAL_DATA ?= $(wildcard $(abspath ../shared/data))
bench: setup  ## the usual ways of converting and loading beside ours; writes experiments/benchmark (about 35 minutes on two idle cores, 12 GB of disk)
	@mkdir -p experiments/benchmark && $(BIN)/papermill nbs/runs/benchmark.ipynb experiments/benchmark/benchmark.ipynb --cwd nbs -p alone True -p archive_patches 6144 -p reference_patches 800 -p scaling_names 3 -p rounds 5 -p few_rounds 3 -p epochs 3 -p far_images 15000 -p train_steps 20 -p source_patches 960 -p s3_patches 120 -p s3_objects 1500 -p figure images/speed.svg

outputs: setup  ## execute the pages whose code changed since they were executed
	@$(BIN)/python scripts/outputs.py && $(BIN)/nbdev_clean

export: setup  ## after editing notebooks: clean them, export the modules, make README.md
	@$(BIN)/nbdev_clean && $(BIN)/nbdev_export && $(BIN)/python -c 'from bigearthnet_dd.runs import export_templates; export_templates()' && $(BIN)/python scripts/draw_house.py && $(BIN)/python scripts/make_readme.py

.PHONY: help setup demo test check hook docs lab bench outputs export
