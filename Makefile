# The house's own commands. Everything runs from .venv, which `setup` makes; nothing is installed outside of it but Debian's
# Chromium, Redis and Maven, which only the tests need.

# The first Python on PATH that is new enough; PYTHON=/path/to/python chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
PY := $(VENV)/bin/python
RUN := $(VENV)/bin
PIP := $(PY) -m pip --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench faults lock docs browser servers clean

help: ## Show this.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## Make .venv with the locked dependencies; the command line is then .venv/bin/gateway.

demo: setup ## Run the gateway, the SCRM core and simulated partners; Ctrl-C stops all. DEMO="--rate 50 --seconds 30"
	@exec $(RUN)/gateway demo $(DEMO)

test: setup browser servers ## Run every test, two files at a time. TEST="tests/unit -x" narrows it, JOBS=0 takes one after the other.
	$(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(TEST)

JOBS ?= 2

check: setup ## Format, lint, types, storeys, config and mappings, golden cases, docs.
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/gateway check
	$(RUN)/gateway mapping test
	$(PY) -m docs.generate --check

bench: setup ## Measure against the baselines of the same run; a table, and bench/results.json.
	$(PY) -m bench $(BENCH)

faults: setup ## Kill the processes a few hundred times under load, and compare what was acknowledged with what arrived. ROUNDS=300
	SCRM_FAULT_ROUNDS=$(ROUNDS) $(PY) -m pytest --timeout=0 tests/faults $(TEST)

ROUNDS ?= 300

docs: setup ## Write what is generated: docs/reference, config/example.toml, the tables in the READMEs.
	$(PY) -m docs.generate

lock: setup ## Resolve pyproject.toml anew into requirements.lock (everything) and requirements.runtime.lock (what the image holds).
	$(RUN)/uv pip compile pyproject.toml --extra dev $(LOCKED) -o requirements.lock
	$(RUN)/uv pip compile pyproject.toml -c requirements.lock $(LOCKED) -o requirements.runtime.lock

LOCKED := --universal --python-version 3.11 --generate-hashes --no-emit-find-links --no-emit-index-url --no-header -q

clean: ## Remove .venv and caches. The data folder stays.
	rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
	find gateway connectors mappings scrm tests bench docs -name __pycache__ -type d -prune -exec rm -rf {} +

# ------------------------------------------------------------------ how the house is made
$(VENV)/.locked: requirements.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and none is on PATH; install one, or say PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11"; exit 1; }
	@$(PY) -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) || { echo "could not make $(VENV); on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "installing the locked dependencies into $(VENV) …"
	@$(PIP) install -q --require-hashes -r requirements.lock
	@touch $@

# hatchling and editables come from the lock, so nothing is fetched that has no hash.
$(VENV)/.installed: $(VENV)/.locked pyproject.toml
	@$(PIP) install -q --no-build-isolation --no-deps -e .
	@touch $@

CHROMIUM := command -v chromium || command -v chromium-browser || command -v google-chrome

browser:
	@{ $(CHROMIUM); } >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing Chromium for the tests of the pages …"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium fonts-noto-cjk >/dev/null; \
	  fi; }
	@{ $(CHROMIUM); } >/dev/null || { \
	  echo "The tests of the pages drive a real Chromium, and none is on PATH."; \
	  echo "  Debian, Ubuntu: sudo apt-get install chromium fonts-noto-cjk"; \
	  echo "  without it:     make setup && $(PY) -m pytest -m 'not browser'"; exit 1; }

servers: $(VENV)/kafka/.installed
	@command -v redis-server >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing Redis for the tests of streams …"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq redis-server >/dev/null; \
	  fi; }
	@command -v redis-server >/dev/null || { \
	  echo "Streams are tested against a real Redis, and redis-server is not on PATH."; \
	  echo "  Debian, Ubuntu: sudo apt-get install redis-server"; exit 1; }
	@command -v softhsm2-util >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing SoftHSM for the tests of keys in a token …"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq softhsm2 >/dev/null; \
	  fi; }
	@command -v softhsm2-util >/dev/null || { \
	  echo "Keys in a token are tested against SoftHSM, and softhsm2-util is not on PATH."; \
	  echo "  Debian, Ubuntu: sudo apt-get install softhsm2; elsewhere also set SOFTHSM2_MODULE to its library"; exit 1; }

# Apache Kafka and what it needs, as its pom names them; Maven checks each file against the sum that its repository publishes.
$(VENV)/kafka/.installed: tests/servers/kafka/pom.xml | $(VENV)/.installed
	@{ command -v mvn && command -v java; } >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing Java and Maven for the tests of topics …"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq maven default-jre-headless >/dev/null; \
	  fi; }
	@{ command -v mvn && command -v java; } >/dev/null || { \
	  echo "Topics are tested against Apache Kafka, which needs Java 17 or newer, and Maven to fetch it."; \
	  echo "  Debian, Ubuntu: sudo apt-get install maven default-jre-headless"; exit 1; }
	@echo "fetching Apache Kafka into $(VENV)/kafka …"
	@rm -rf $(VENV)/kafka
	@mvn -q -B -C -f $< dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$(VENV)/kafka
	@touch $@
