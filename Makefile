# Two commands do everything: `make run` and `make test`. Both set up what they need.
# pip's own configuration (pip.conf, PIP_* variables) is left as it is.

PYTHON ?= python3
HEPTAD_FLAGS ?=
BENCH_FLAGS ?=
PYTEST_FLAGS ?=
# Wheels only: a source build would run code that no hash in the constraints covers.
WHEELS ?= --only-binary :all:
UPGRADE ?=
RULES_FLAGS ?=

# If bytecode were not kept, each command that a test runs would compile the whole project again.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# The parts of heptad[all]; that extra itself would pin heptad as a path of this machine.
EXTRAS := --extra grafana
PIP_COMPILE := CUSTOM_COMPILE_COMMAND="make constraints" $(BIN)/pip-compile --quiet \
	--generate-hashes --allow-unsafe --strip-extras --no-emit-options $(EXTRAS) $(UPGRADE)
FOLDERS := core exporter aggregator cli docs tests bench dashboards provisioning scripts
CODE = $(foreach folder,$(FOLDERS),$(if $(shell find $(folder) -name '*.py' 2>/dev/null),$(folder)))

.DEFAULT_GOAL := help
.PHONY: help run test check coverage lint types contracts torture test-servers torture-rotation fuzz bench docs dashboards rules env stack \
	dist dist-test constraints clean debian-packages
.NOTPARALLEL:
.DELETE_ON_ERROR:

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 22

run: $(VENV)/.installed ## watch the logins of this machine (HEPTAD_FLAGS="…" is passed on)
	@HEPTAD_CONFIG="$(HEPTAD_CONFIG)" $(BIN)/heptad up $(HEPTAD_FLAGS)

test: lint types contracts debian-packages ## lint, types, import contracts and every test
	@$(BIN)/python -m pytest $(PYTEST_FLAGS)

check: lint types contracts ## a shorter test run: fewer examples, and no daemon, server or root
	@HEPTAD_TESTS=brief $(BIN)/python -m pytest -m "not left_out" --numprocesses 2 --quiet $(PYTEST_FLAGS)

coverage: $(VENV)/.installed-dev ## what the tests of `make check` reach: a table, and htmlcov/index.html
	@$(BIN)/coverage erase
	@HEPTAD_TESTS=brief $(BIN)/coverage run -m pytest -m "not left_out" --numprocesses 2 --quiet $(PYTEST_FLAGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage html --quiet
	@$(BIN)/coverage report

lint: $(VENV)/.installed-dev ## ruff: rules and format
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: $(VENV)/.installed-dev ## mypy --strict
	$(BIN)/mypy --strict $(CODE)

contracts: $(VENV)/.installed-dev ## import contracts: which package may import which
	$(BIN)/lint-imports --no-logo

torture: debian-packages ## 2000 faults in everything between the log and InfluxDB (TORTURE_FAULTS=…)
	@TORTURE_FAULTS=$${TORTURE_FAULTS:-2000} $(BIN)/python -m pytest -s tests/system/test_torture_influxdb.py

test-servers: debian-packages ## InfluxDB 1.13 and 2.9, the compose file, Telegraf, dashboards, 2000 kills of 2.x (an hour)
	@$(BIN)/python -m tests.support.servers

torture-rotation: $(VENV)/.installed-dev ## the rotation race: 20 seeds with four busy processes (TORTURE_RUNS=…)
	@$(BIN)/python -m tests.support.torture_rotation

fuzz: debian-packages ## 100,000 values that Heptad never wrote, in SQLite and InfluxDB (HEPTAD_FUZZ_CASES=…)
	@HEPTAD_FUZZ_CASES=$${HEPTAD_FUZZ_CASES:-100000} $(BIN)/python -m pytest -s \
		tests/core/test_outside_values.py -k test_fuzzed_values

bench: debian-packages ## measure the performance, compared with mtail, fail2ban and node_exporter
	@$(BIN)/python -m bench $(BENCH_FLAGS)

docs: $(VENV)/.installed-dev ## write the generated pages of docs/, and the runbooks that the page serves
	@$(BIN)/python -m docs.generate.reference
	@$(BIN)/python -m provisioning.runbooks

dashboards: $(VENV)/.installed-dev ## write the JSON of the Grafana dashboards
	@$(BIN)/python -m dashboards

rules: $(VENV)/.installed ## write the alerting rules and docs/alerts.md (RULES_FLAGS="--settings FILE --output DIR")
	@$(BIN)/python -m provisioning.alerts $(RULES_FLAGS)

env: ## write .env with fresh secrets for docker-compose.yml, if there is none
	@scripts/write-env

stack: ## the whole stack in Docker, with Grafana at http://localhost:3000
	@scripts/start-stack

dist: $(VENV)/.installed-dist ## sdist, wheel, package for Debian 12, man pages, SBOM and SHA256SUMS, in dist/
	@packaging/build $(BIN)/python

dist-test: $(VENV)/.installed-dev ## install, upgrade and purge the package of dist/ in a Debian 12 without network
	@$(BIN)/python -m tests.system.debian_package

constraints: $(VENV)/.installed-dev ## pin the dependencies again (UPGRADE=--upgrade for newer ones)
	$(PIP_COMPILE) --build-deps-for editable --output-file constraints.txt pyproject.toml
	$(PIP_COMPILE) --extra dev --constraint constraints.txt \
		--output-file constraints-dev.txt pyproject.toml
	$(PIP_COMPILE) --extra dist --constraint constraints.txt \
		--constraint constraints-dev.txt --output-file constraints-dist.txt pyproject.toml

clean: ## remove .venv and everything else that was made here
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache .hypothesis .coverage .coverage.* htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Daemons and tools that the tests use; if they cannot be installed, these tests are skipped.
debian-packages: $(VENV)/.installed-dev
	@scripts/install-debian-packages $$($(BIN)/python -m tests.support.needs)

# Debian's python3 comes without ensurepip, which is in a package named after the version.
# If that cannot be installed from here, venv's own message says what to do.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Heptad requires Python 3.11 or newer, and $(PYTHON) is older or missing.' \
			'If there is another one, set it: make PYTHON=python3.12 $(MAKECMDGOALS)' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || scripts/install-debian-packages \
		$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
	@echo 'Creating $(VENV) with the pinned dependencies; this is done only once.'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	@$(PIP_INSTALL) $(WHEELS) --require-hashes -r constraints.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable ".[all]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed constraints-dev.txt
	@$(PIP_INSTALL) $(WHEELS) --require-hashes -r constraints-dev.txt
	@touch $@

$(VENV)/.installed-dist: $(VENV)/.installed-dev constraints-dist.txt
	@$(PIP_INSTALL) $(WHEELS) --require-hashes -r constraints-dist.txt
	@touch $@
