# make install   build .venv with everything in it
# make sandbox   start the bot in its sandbox
# make test      all checks and tests that fit in ten minutes
# make test-cluster   the tests against a real Kubernetes API server (builds it once, about five minutes)
# make test-image the image's steps carried out without an engine, and what they make (a minute; root on Debian)
# make test-stories   every story of the sandbox told and cured through Slack, and whole incidents in a browser (about
#                five minutes)
# make test-kill the bot killed at every await of an incident, and around every effect of it, of a mitigation, a bundle
#                and a postmortem, on SQLite and PostgreSQL, and replicas of it (about thirteen minutes)
# make bench     measure what is promised of time and size beside what people use instead, and write bench/RESULTS.md (about
#                twenty minutes); fails where a promise is broken. One part: .venv/bin/python -m bench PART
# make bench-smoke   the same at a fiftieth of its size, in two minutes: whether it still runs; nothing is promised of it
# make soak      three replicas in faults for five minutes, and a day's work in forty: nothing lost, doubled or grown
# make pictures  take the README's pictures anew, from the sandbox in a browser (two minutes)
# make audit     known vulnerabilities of what is installed; asks PyPI
# make sbom      sbom.json, a CycloneDX bill of what the image installs
# make lock      resolve the dependencies anew

# where the environment forbids it each of the hundreds of processes of the tests would compile anew what it imports
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
BIN := .venv/bin
# installs in seconds what pip takes a minute for; the same version as in pyproject.toml
UV := uv==0.13.9
STAMP := .venv/.installed
# for what `make test` leaves out
ALONE := --override-ini addopts="--strict-markers --strict-config -ra"

.PHONY: install sandbox test test-cluster test-image test-stories test-kill bench bench-tools bench-smoke soak check pictures audit sbom lock

install: $(STAMP)

$(STAMP): requirements-dev.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

sandbox: install
	$(BIN)/mistral-bot sandbox

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	tests/install_servers.sh prometheus prometheus-alertmanager chromium tidy libxml2-utils
	$(BIN)/pytest -n 3 --dist worksteal

# only root on Debian can build; elsewhere the tests say what to install, and fail where CI is set
test-cluster: install
	tests/install_servers.sh prometheus
	test "$$(id -u)" != 0 -o ! -f /etc/apt/sources.list.d/debian.sources || tests/cluster/cluster.sh build
	$(BIN)/pytest -n 4 --dist loadfile tests/cluster $(ALONE)

test-image: install
	$(BIN)/pytest tests/image $(ALONE)

test-stories: install
	tests/install_servers.sh chromium
	$(BIN)/pytest -n 2 --dist worksteal tests/stories/test_journeys.py $(ALONE)
	$(BIN)/pytest -n 4 --dist worksteal tests/stories/test_stories.py $(ALONE)

test-kill: install
	$(BIN)/pytest -n 2 --dist worksteal tests/kill $(ALONE)

# what is laid beside the bot, and a real API server
bench-tools: install
	tests/install_servers.sh curl jq nginx-light
	command -v kubectl >/dev/null || tests/install_servers.sh kubernetes-client
	test "$$(id -u)" != 0 -o ! -f /etc/apt/sources.list.d/debian.sources || tests/cluster/cluster.sh build

bench: bench-tools
	$(BIN)/python -m bench --write

bench-smoke: bench-tools
	BENCH_SCALE=0.02 $(BIN)/python -m bench --at-once 3

soak: install
	$(BIN)/python -m bench --long

pictures: install
	tests/install_servers.sh chromium fonts-noto-color-emoji
	$(BIN)/python -m tests.pictures

audit: install
	$(BIN)/uv tool run --from pip-audit==2.10.1 pip-audit --requirement requirements.lock --require-hashes --disable-pip

sbom: install
	$(BIN)/uv tool run --from cyclonedx-bom==7.5.0 cyclonedx-py requirements requirements.lock --pyproject pyproject.toml \
	  --output-reproducible --output-file sbom.json

lock:
	test -x $(BIN)/uv || { $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet $(UV); }
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --group dev pyproject.toml -o requirements-dev.lock
