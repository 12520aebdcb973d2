# Two commands for a newcomer: make demo, make test. Each sets up what it needs.
UV := $(shell command -v uv || echo .uv/bin/uv)
RUN := $(UV) run --frozen
TOOL := $(UV) tool run --python .venv/bin/python
SAM := env SAM_CLI_TELEMETRY=0 PATH="$(CURDIR)/.venv/bin:$$PATH" $(RUN) --group deploy sam

# What these three print is also written there, as Markdown; a failure stays one (pipefail, so bash).
EVIDENCE := build/evidence
attack chaos bench: SHELL := bash

.PHONY: demo test coverage check build deploy test-deploy test-rendering test-interop attack chaos fuzz audit bench simulate requirements

demo: $(UV)
	$(RUN) python -m local demo

ORDINARY := not attack and not built and not deployed and not rendered and not interop

test: $(UV)
	$(RUN) pytest -n auto --cov --cov-report= -m "$(ORDINARY)"
	$(RUN) coverage report

# What the tests reach of all code; `make test` measures the pure modules alone.
coverage: $(UV)
	$(RUN) pytest -n auto --cov --cov-config=tests/coverage.ini --cov-report= -m "$(ORDINARY)"
	$(RUN) coverage report --rcfile=tests/coverage.ini

check: $(UV)
	$(UV) lock --check
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) lint-imports
	$(SAM) validate --lint
	$(TOOL) --from checkov==3.3.30 checkov -f template.yaml --config-file .checkov.yaml

# ENVIRONMENT=name of samconfig.toml; PARAMETERS="Key=value ..." of the template, in place of those in that file.
build: $(UV)
	@grep -q '^\[$(or $(ENVIRONMENT),default)\.' samconfig.toml || \
		{ echo "samconfig.toml has no environment $(ENVIRONMENT)" >&2; exit 2; }
	$(SAM) build $(if $(ENVIRONMENT),--config-env $(ENVIRONMENT)) $(if $(PARAMETERS),--parameter-overrides $(PARAMETERS))
	$(RUN) python layers/pack.py .aws-sam/build
	$(RUN) pytest -m built tests/deploy

deploy: build
	$(SAM) deploy $(if $(ENVIRONMENT),--config-env $(ENVIRONMENT)) $(if $(PARAMETERS),--parameter-overrides $(PARAMETERS))

# The real template, built and deployed to an emulator, with the functions run as Lambda would.
test-deploy: $(UV)
	env SAM_CLI_TELEMETRY=0 PATH="$(CURDIR)/.venv/bin:$$PATH" $(RUN) --group deploy pytest -m deployed tests/deploy

# The report in Chromium, Roundcube and Thunderbird: pictures, axe, links, what mail clients know. APPROVE=1 writes the pictures anew.
test-rendering: $(UV)
	tests/rendering/install
	$(RUN) --with marionette-driver==3.7.1 pytest -m rendered tests/rendering

# Postfix and the filters of Debian, in a network of their own; needs root.
test-interop: $(UV)
	$(RUN) tests/interop/run

# Everything fails at every AWS call, and nothing is lost: over moto, then over ministack. SEED=N repeats a run.
chaos: $(UV)
	mkdir -p $(EVIDENCE)
	set -o pipefail; $(RUN) python -m tests.chaos --seed $(or $(SEED),1) | tee $(EVIDENCE)/chaos.md
	set -o pipefail; $(RUN) python -m tests.chaos --seed $(or $(SEED),1) --emulator | tee -a $(EVIDENCE)/chaos.md

# Some 500 forged requests, as SES events and over SMTP: who received what. Then a megabyte for each parser.
attack: $(UV)
	mkdir -p $(EVIDENCE)
	set -o pipefail; $(RUN) python -m tests.attacks | tee $(EVIDENCE)/attack.md
	$(RUN) pytest -q -n auto -m attack tests/test_linear_time.py

# Inputs that break a parser; TARGETS="event trace" for some, SECONDS_EACH for longer.
fuzz: $(UV)
	$(RUN) --with atheris==3.1.0 python -m tests.fuzz --seconds $(or $(SECONDS_EACH),30) $(TARGETS)

# The lock, the workflows, what the layer ships, known vulnerabilities. The last asks PyPI, and names what PyPI
# does not answer about; only a finding fails.
audit: $(UV)
	$(UV) lock --check
	mkdir -p build
	$(RUN) python --version
	$(TOOL) --from zizmor==1.32.0 zizmor --offline --persona pedantic .github
	$(TOOL) --from cyclonedx-bom==7.5.0 cyclonedx-py requirements --pyproject pyproject.toml \
		--output-reproducible --output-file build/sbom.json layers/quarantine/requirements.txt
	env SBOM=build/sbom.json $(RUN) pytest tests/deploy/test_supply_chain.py
	$(UV) export --frozen --quiet --all-extras --all-groups --no-emit-project --no-hashes --output-file build/locked.txt
	$(RUN) python -m tests.deploy.audit layers/quarantine/requirements.txt build/locked.txt -- \
		$(TOOL) --from pip-audit==2.10.1 pip-audit

# What it costs, as it is deployed; beside the floor, in one run.
bench: build
	mkdir -p $(EVIDENCE)
	set -o pipefail; $(RUN) --with html2text==2025.4.15 python -m lab.bench | tee $(EVIDENCE)/bench.md

# A Monday morning of a million users, with the template's settings.
simulate: $(UV)
	$(RUN) python -m lab.simulation

# What the layer ships, from the lock.
requirements: $(UV)
	$(UV) export --frozen --quiet --no-dev --no-emit-project --no-hashes --no-annotate --no-header \
		--output-file layers/quarantine/requirements.txt

# uv inside the clone, where the machine has none.
.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/pip install --quiet uv==0.13.9
