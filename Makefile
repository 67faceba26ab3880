# Valo. `make` alone lists the targets.
# What is built selects targets of the whole workspace, never packages: dependencies then compile once (scripts/features.sh).
# Build output is kept outside the tree, so that a fresh clone builds quickly the second time.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/valo/target
CARGO := cargo
VALO := $(CARGO_TARGET_DIR)/debug/valo

.DEFAULT_GOAL := help
.PHONY: help deps build demo test test-long charts cluster-up cluster-down cluster-test lint fmt bench examples generate clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  \033[1m%-13s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install what the build needs (Debian, Ubuntu; elsewhere it names it)
	@scripts/deps.sh

build: ## build the valo binary
	@$(CARGO) build --locked --workspace --bin valo

demo: build ## a network on this machine computes a real job, checks it and proves it
	@scripts/demo.sh $(VALO)

test: ## every test: unit, property, golden, snapshots, simulator, processes, examples
	@scripts/test.sh

test-long: ## the same with many more seeds and cases
	@VALO_LONG=1 scripts/test.sh

charts: ## lint and render the Helm charts, check them against schemas and snapshots
	@scripts/charts.sh

lint: ## formatting, clippy, one build for all; generated files are held by the tests
	@$(CARGO) fmt --all --check
	@scripts/features.sh
	@$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

fmt: ## format the code
	@$(CARGO) fmt --all

bench: build ## measure a real network on this machine and print the table
	@$(VALO) bench

cluster-up: ## a real Kubernetes on this machine, as root; NODES=n (see docs/test-cluster.md)
	@tests/cluster/testbed/cluster up $(if $(NODES),--nodes $(NODES))

cluster-down: ## take it down
	@tests/cluster/testbed/cluster down

cluster-test: ## the promises made to users of Kubernetes, on a cluster of its own, as root; TESTS=name
	@scripts/cluster-test.sh $(TESTS)

examples: ## rebuild the WebAssembly of the examples
	@$(MAKE) --no-print-directory -C examples all

generate: ## rewrite the generated files: OpenAPI document, command line, custom resources and their chart, rights, golden vectors
	@VALO_BLESS=1 $(CARGO) test --locked -q --workspace --test vectors
	@VALO_BLESS=1 VALO_UPDATE=1 $(CARGO) test --locked -q --workspace --lib -- tests::vectors:: the_committed_
	@$(CARGO) build --locked -q --workspace --bin crdgen
	@$(CARGO_TARGET_DIR)/debug/crdgen

clean: ## remove the build output
	@$(CARGO) clean
