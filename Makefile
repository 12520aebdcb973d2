# Two commands for a newcomer: make demo, make test. Each sets up what it needs.
UV := $(shell command -v uv || echo .uv/bin/uv)
RUN := $(UV) run --frozen
SAM := env SAM_CLI_TELEMETRY=0 PATH="$(CURDIR)/.venv/bin:$$PATH" $(RUN) --group deploy sam

.PHONY: demo test check build deploy test-deploy test-rendering test-interop bench requirements

demo: $(UV)
	$(RUN) python -m local demo

test: $(UV)
	$(RUN) pytest -n auto --cov --cov-report= -m "not built and not deployed and not rendered and not interop"
	$(RUN) coverage report
	$(RUN) coverage report --include='*/quarantine/addresses.py,*/quarantine/admission.py,*/quarantine/domains.py,*/quarantine/filters/*.py,*/quarantine/holding.py,*/quarantine/inbound.py,*/quarantine/mailheader.py,*/quarantine/report.py,*/quarantine/request.py' --fail-under=100

check: $(UV)
	$(UV) lock --check
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) lint-imports
	$(SAM) validate --lint
	$(UV) tool run --python .venv/bin/python --from checkov==3.3.30 checkov -f template.yaml --config-file .checkov.yaml

# PARAMETERS="Key=value ..." of the template, in place of those in samconfig.toml.
build: $(UV)
	$(SAM) build $(if $(PARAMETERS),--parameter-overrides $(PARAMETERS))
	$(RUN) pytest -m built

deploy: build
	$(SAM) deploy $(if $(PARAMETERS),--parameter-overrides $(PARAMETERS))

# The real template, built and deployed to an emulator, with the functions run as Lambda would.
test-deploy: $(UV)
	env SAM_CLI_TELEMETRY=0 PATH="$(CURDIR)/.venv/bin:$$PATH" $(RUN) --group deploy pytest -m deployed

# The report in headless Chromium: pictures, axe, what mail clients know. APPROVE=1 writes the pictures anew.
test-rendering: $(UV)
	tests/rendering/install
	$(RUN) pytest -m rendered

bench: $(UV)
	$(RUN) python -m bench

# What the layer ships, from the lock.
requirements: $(UV)
	$(UV) export --frozen --quiet --no-dev --no-emit-project --no-hashes --no-annotate --no-header \
		--output-file layers/quarantine/requirements.txt

# uv inside the clone, where the machine has none.
.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/pip install --quiet uv
