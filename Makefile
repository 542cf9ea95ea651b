# Works on a fresh clone: each target first makes what it needs.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
# Where this machine has no uv, ours is found by the programs we start.
export PATH := $(PATH):$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/voicefleet/uv-0.13.9/bin
# More words for the command: make up ARGS="--base-port 26000"; make test ARGS="tests/unit -x"
ARGS ?=
# Where agents run: make up RUNTIME=kubernetes
RUNTIME ?=

.PHONY: help
help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.venv/.synced: uv.lock pyproject.toml $(wildcard */pyproject.toml) tools/bootstrap.sh
	@tools/bootstrap.sh

.PHONY: up
up: .venv/.synced ## Bring the platform up on this machine, with a sample client; safe to repeat
	@$(BIN)/voicefleet up $(if $(RUNTIME),--runtime $(RUNTIME)) $(ARGS)

.PHONY: down
down: .venv/.synced ## Stop everything; the state stays, and `make up` brings it back
	@$(BIN)/voicefleet down $(ARGS)

.PHONY: status
status: .venv/.synced ## What runs where, and how the clients are
	@$(BIN)/voicefleet status $(ARGS)

.PHONY: clean
clean: .venv/.synced ## Stop everything and remove the state, clients' data included
	@$(BIN)/voicefleet clean --yes $(ARGS)

.PHONY: homelab
homelab: .venv/.synced ## The Pulumi stack homelab (ARGS=preview, up, refresh or destroy), without Pulumi's own program
	@$(BIN)/python stacks/run.py $(or $(ARGS),preview) homelab

.PHONY: provision
provision: .venv/.synced ## Bring what the tests need and this machine lacks
	@$(BIN)/python -m voicefleet_infra

.PHONY: test
test: provision ## All tests, the crash matrix too; names what it skips
ifeq ($(ARGS),)
	@tools/test.sh
else
	@$(BIN)/python -m pytest $(ARGS)
endif

.PHONY: prove
prove: .venv/.synced ## Every request of every scenario with everything that can become of it
	@$(BIN)/python -m pytest tests/chaos $(ARGS)

.PHONY: mutants
mutants: provision ## Take out each handling of a failure, and see its test fail (ARGS="turns --jobs 2")
	@$(BIN)/python tests/mutants/run.py $(ARGS)

.PHONY: check
check: .venv/.synced ## Style, types, who imports whom, generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@words=$$($(BIN)/lint-imports --no-cache 2>&1) || { echo "$$words"; exit 1; }
	@$(BIN)/python -m voicefleet_api.crdgen --check
	@$(BIN)/python -m voicefleet_infra.chart --check

.PHONY: generate
generate: .venv/.synced ## Write the CRDs anew from the models, and chart and install.yaml from deploy/
	@$(BIN)/python -m voicefleet_api.crdgen
	@$(BIN)/python -m voicefleet_infra.chart

.PHONY: images
images: .venv/.synced ## Build the images without a registry, and say how large they are (ARGS="operator")
	@$(BIN)/python -m voicefleet_infra.images $(ARGS)

.PHONY: bench
bench: .venv/.synced ## From apply to Answering, on the platform that KUBECONFIG points at
	@PATH="$$PATH:$(CURDIR)/$(BIN)" $(BIN)/python tests/bench/apply_to_answering.py $(ARGS)

.PHONY: bench-scale
bench-scale: provision ## The controller with many clients (ARGS="--clients 1000"), on a platform of its own
	@$(BIN)/python tests/bench/scale.py $(ARGS)

.PHONY: bench-voice
bench-voice: provision ## How long callers wait for an answer, beside LiveKit's own pipeline (ARGS="--turns 40")
	@$(BIN)/python tests/bench/voice.py $(ARGS)

.PHONY: bench-density
bench-density: provision ## Memory of a client's agent before and after calls; five callers at once (ARGS="--calls 20")
	@$(BIN)/python tests/bench/density.py $(ARGS)

.PHONY: bench-failover
bench-failover: provision ## How long the next call waits when a SIP bridge is lost; needs root (ARGS="--times 20")
	@$(BIN)/python tests/bench/failover.py $(ARGS)

.PHONY: bench-rescue
bench-rescue: provision ## How long a caller hears nothing whose agent was killed (ARGS="--kills 20")
	@$(BIN)/python tests/bench/rescue.py $(ARGS)

.PHONY: bench-calls
bench-calls: provision ## How many calls this machine carries, layer by layer (ARGS="--layers ours,stock")
	@$(BIN)/python tests/bench/calls.py $(ARGS)

MINUTES ?= 60
.PHONY: soak
soak: provision ## Create, edit, fault and delete for MINUTES=60; fails where something has leaked
	@$(BIN)/python tests/bench/soak.py --minutes $(MINUTES) $(ARGS)
