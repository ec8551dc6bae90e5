# Every target sets itself up on a fresh machine (Python >= 3.11, Node >= 20, git, make) and is quick when there is
# nothing to do. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DONE   := $(VENV)/.done
# make builds the bundle itself, before it installs the package
export HATCH_JUPYTER_BUILDER_SKIP_NPM := 1
PIP    := $(BIN)/python -m pip --disable-pip-version-check install -qq --prefer-binary --constraint constraints.txt
DIR    ?= work

FRONT_END := $(shell find labextension/src labextension/style labextension/schema -type f 2>/dev/null) \
             labextension/package.json labextension/tsconfig.json
BUNDLE    := aidp_ext/labextension/package.json
AIDP      := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/aidp

.PHONY: help lab hub doctor test check fix bench docs dist clean lock

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

lab: $(DONE)/lab ## JupyterLab for one person, in the folder DIR (work)
	@$(AIDP) lab "$(DIR)"

hub: $(DONE)/hub ## JupyterHub for a team, on port 8000
	@$(AIDP) hub

doctor: $(DONE)/hub ## what is here, what is missing, and the next step
	@$(AIDP) doctor

test: $(DONE)/test $(DONE)/hub $(DONE)/browser $(DONE)/litellm $(DONE)/openai-tests $(DONE)/jlg $(DONE)/image ## all tests, in a real browser too
	@cd labextension && npm run --silent test
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest $(ARGS)

check: $(DONE)/dev $(DONE)/hub ## lint and types, nothing is changed
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@cd labextension && npm run --silent lint:check && npx --no-install tsc --noEmit

fix: $(DONE)/dev ## what the linters can mend by themselves
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@cd labextension && npm run --silent lint

bench: $(DONE)/test $(DONE)/jlg ## the router beside LiteLLM, Git beside jupyterlab-git, in one run; results in bench/results
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m bench $(ARGS)

docs: $(DONE)/docs ## the documentation, in docs/_build/html; warnings are errors
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

dist: $(DONE)/build ## wheel and sdist, in dist/
	@rm -rf dist aidp_ext/labextension
	@cd labextension && PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent build:prod
	@$(BIN)/python -m build --outdir dist .
	@ls -l dist

clean: ## everything that was built, installed or measured here; not your work
	rm -rf $(VENV) .bench-venv dist docs/_build bench/results aidp_ext/labextension \
	  labextension/lib labextension/node_modules hub_config/proxy/node_modules
	find . -name __pycache__ -prune -exec rm -rf {} +

lock: $(DONE)/test $(DONE)/dev $(DONE)/docs $(DONE)/build ## pin what is installed now
	@# soupsieve's newest needs a later 3.11 than Debian has: pip may choose
	@# jsonschema stays below 4.25, which makes every server start in twice the time (tests/packaging/test_imports.py)
	@$(BIN)/python -m pip freeze --exclude-editable | grep -vE '^(aidp|soupsieve)' | sed 's|+cpu$$||' > constraints.txt

# --- set-up: each step leaves a mark, and is taken again when what it depends on has changed ---

define need_node
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null && command -v npm >/dev/null || \
	  { echo "aidp: no_node: Node 20 or newer with npm is needed: https://nodejs.org/" >&2; exit 2; }
endef

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "aidp: no_python: Python 3.11 or newer is needed: https://www.python.org/downloads/" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "aidp: no_python: $(PYTHON) is older than 3.11; name another: make PYTHON=python3.12 …" >&2; exit 2; }
	$(need_node)
	@echo "Setting up: Python packages …"
	@$(PYTHON) -m venv $(VENV)
	@mkdir -p $(DONE)

# What builds the front end: its packages, and the Python side of the builder. The two downloads go on together.
$(DONE)/tools: labextension/package-lock.json constraints.txt | $(BIN)/python
	$(need_node)
	@echo "Setting up: front end packages …"
	@(cd labextension && npm ci --silent --no-audit --no-fund) & npm=$$!; \
	 $(PIP) "jupyter-builder>=1.2,<2" "hatchling>=1.27" "hatch-jupyter-builder>=0.9" editables; wait $$npm
	@touch $@

$(BUNDLE): $(FRONT_END) $(DONE)/tools
	@echo "Setting up: building the front end …"
	@cd labextension && PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent build:prod >../$(DONE)/build.log 2>&1 \
	  || { cat ../$(DONE)/build.log >&2; exit 1; }
	@touch $@

# No build isolation: the tools are there. The bundle is copied into the environment, so a new one means a new install.
define install
	@$(PIP) --no-build-isolation --editable ".[$(1)]"
	@touch $@
endef

$(DONE)/lab: pyproject.toml constraints.txt $(wildcard jupyter-config/*/*.json) $(BUNDLE)
	$(call install,lab)

$(DONE)/hub: $(DONE)/lab $(DONE)/live hub_config/proxy/package-lock.json
	$(need_node)
	$(call install,lab$(comma)hub)
	@cd hub_config/proxy && npm ci --silent --no-audit --no-fund
	@touch $@

# Live editing, for the servers that a hub starts: in a folder of its own, since every Lab that finds it has it on.
$(DONE)/live: hub_config/live.txt | $(BIN)/python
	@rm -rf $(VENV)/live
	@$(PIP) --no-deps --target $(VENV)/live --requirement hub_config/live.txt
	@touch $@

# Torch first and by itself: here that is a build for CPUs, and no resolver may choose another one.
$(DONE)/torch: | $(BIN)/python
	@echo "Setting up: PyTorch, for the tests …"
	@$(PIP) torch==2.13.0
	@touch $@

$(DONE)/test: $(DONE)/hub $(DONE)/torch
	$(call install,test$(comma)docs)

$(DONE)/dev: $(DONE)/hub
	$(call install,dev)

$(DONE)/docs: $(DONE)/lab
	$(call install,docs)

$(DONE)/build: | $(BIN)/python
	@$(PIP) "build>=1.2"
	@touch $@

$(DONE)/browser: $(DONE)/test
	@$(BIN)/python tests/support/browser.py
	@touch $@

# Docker's engine, and in it the image of a user's server: containers are tested as they are. Without one, those tests
# say why they are skipped. Most of the image is a layer that stays until a version changes.
$(DONE)/engine: $(DONE)/test
	@$(BIN)/python -m tests.support.engine
	@touch $@

IMAGE_FILES := $(wildcard deploy/*) pyproject.toml constraints.txt hub_config/proxy/package.json \
               $(shell find aidp_ext hub_config -name '*.py' -o -name '*.html' -o -name '*.ipynb' 2>/dev/null | grep -v node_modules)

$(DONE)/image: $(DONE)/engine $(BUNDLE) $(DONE)/build $(IMAGE_FILES)
	@$(BIN)/python -m tests.support.image
	@touch $@

# LiteLLM asks aidp as a client does. It wants an older openai than the rest, so it lives apart (about 340 MB);
# with tools it wants mcp, which it does not install by itself.
$(DONE)/litellm: | $(BIN)/python
	@echo "Setting up: LiteLLM, as a client for the tests …"
	@$(BIN)/python -m venv --clear $(VENV)/litellm
	@$(VENV)/litellm/bin/python -m pip --disable-pip-version-check install -qq --prefer-binary litellm==1.106.2 mcp
	@touch $@

# An environment of its own that sees the packages of the main one.
define beside_main
	@$(BIN)/python -m venv --clear $(VENV)/$(1)
	@echo "import site; site.addsitedir('$(CURDIR)/$(VENV)/lib/$$($(BIN)/python -c 'import sys; print("python%d.%d" % sys.version_info[:2])')/site-packages')" \
	  > "$$($(VENV)/$(1)/bin/python -c 'import site; print(site.getsitepackages()[0])')/main.pth"
endef

# jupyterlab-git's own tests are in its source distributions only, of the same version as it is; what they need beside it
# lies in an environment of its own.
$(DONE)/jlg: $(DONE)/test
	@echo "Setting up: the own tests of jupyterlab-git …"
	$(call beside_main,jlg)
	@$(VENV)/jlg/bin/python -m pip --disable-pip-version-check install -qq --prefer-binary --constraint constraints.txt \
	  "pytest-jupyter[server]==0.10.1" jupytext==1.19.6
	@$(BIN)/python -m pip --disable-pip-version-check download -qq --no-deps --no-binary jupyterlab-git,jupyterlab-git-core \
	  --constraint constraints.txt --dest $(VENV)/jlg/sources jupyterlab-git jupyterlab-git-core
	@for part in jupyterlab_git jupyterlab_git_core; do mkdir -p $(VENV)/jlg/sources/$$part; \
	  tar -xzf $(VENV)/jlg/sources/$$part-[0-9]*.tar.gz -C $(VENV)/jlg/sources/$$part --strip-components=1; done
	@touch $@

# MLflow's own tests of its client are in its repository only, so they are not part of `make test` until this has run.
$(DONE)/mlflow-tests: $(DONE)/test
	@rm -rf $(VENV)/mlflow-tests && git init -q $(VENV)/mlflow-tests
	@git -C $(VENV)/mlflow-tests fetch -q --depth 1 --filter=blob:none https://github.com/mlflow/mlflow \
	  "v$$($(BIN)/python -c 'import importlib.metadata as m; print(m.version("mlflow"))')"
	@for name in test_rest_tracking.py test_mlflow_artifacts.py; do \
	  git -C $(VENV)/mlflow-tests show "FETCH_HEAD:tests/tracking/$$name" > $(VENV)/mlflow-tests/$$name; done
	@touch $@

# The openai SDK's own tests are in its source distribution only; of the same version as the SDK.
$(DONE)/openai-tests: $(DONE)/test
	@rm -rf $(VENV)/openai-tests && mkdir -p $(VENV)/openai-tests
	@$(BIN)/python -m pip --disable-pip-version-check download -qq --no-deps --no-binary openai \
	  --constraint constraints.txt --dest $(VENV)/openai-tests openai
	@tar -xzf $(VENV)/openai-tests/openai-*.tar.gz -C $(VENV)/openai-tests --strip-components=1
	@touch $@

comma := ,
