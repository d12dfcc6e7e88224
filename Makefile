# Two commands matter: `make lab` and `make test`. Both set up everything that they need.
PHASE  ?= 1
STACK   = phase$(PHASE)
UV_VERSION = 0.13.9
PYTHON ?= python3
UV      = .uv/bin/uv
RUN     = .venv/bin/
READY   = .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup lab lab-down test lint format bench clean

help:
	@echo 'make lab        run phase $(PHASE) in the lab, from nothing to a kill drill, and leave it up'
	@echo 'make lab-down   take the lab down; nothing is left behind'
	@echo 'make test       every test, lint included'
	@echo 'make lint       ruff, mypy, ansible-lint, yamllint, clang-format, clang-tidy, shellcheck'
	@echo 'make bench      measure; figures go to out/bench.json'
	@echo 'make format     let the formatters write'

setup: $(READY)

# Packages come from Debian (only those that are missing) and from the lock file.
$(READY): pyproject.toml uv.lock debian.packages
	@missing=$$(for p in $$(grep -v '^#' debian.packages); do \
	    dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	  if [ -n "$$missing" ]; then \
	    echo "installing Debian packages:" $$missing; \
	    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $$missing; \
	  fi
	@test -x $(UV) || { $(PYTHON) -m venv .uv && .uv/bin/pip install -q uv==$(UV_VERSION); }
	@$(UV) sync --frozen --quiet
	@touch $@

lab: $(READY)
	@$(RUN)slipway lab run $(STACK)

lab-down: $(READY)
	@$(RUN)slipway lab down

test: $(READY) lint
	@$(RUN)pytest

lint: $(READY)
	@$(RUN)ruff check .
	@$(RUN)ruff format --check .
	@$(RUN)mypy
	@$(RUN)mypy --strict engine/connectors/polymarket
	@$(RUN)yamllint --strict .
	@$(RUN)ansible-lint --offline
	@shellcheck $$(git ls-files '*.sh' .ci/run)
	@$(RUN)clang-format --dry-run --Werror $$(git ls-files '*.c' '*.h')
	@cmake -S engine -B engine/build-lint -G Ninja -DCMAKE_EXPORT_COMPILE_COMMANDS=ON > /dev/null
	@cd engine && ../$(RUN)run-clang-tidy.py -quiet -clang-tidy-binary ../$(RUN)clang-tidy -p build-lint

format: $(READY)
	@$(RUN)ruff check --fix . ; $(RUN)ruff format .
	@$(RUN)clang-format -i $$(git ls-files '*.c' '*.h')

bench: $(READY)
	@$(RUN)python -m tests.bench

clean:
	rm -rf out engine/build*
