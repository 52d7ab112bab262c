# What can be done here; `make help` lists it. Every target is a plain command that can be run by
# hand as well.
#
# ARCH     x86_64 or arm64 (default: this machine's)
# TASK     the function's folder                 HANDLER  as Lambda's _HANDLER
# EVENT    a JSON text, or @FILE

ARCH ?= $(patsubst aarch64,arm64,$(shell uname -m))
TASK ?= examples/hello
HANDLER ?= function.handler
EVENT ?= {"name":"world"}

# These may hold anything, and make expands a `$` in what it is given. So they are taken as they
# were written and handed on as environment variables: no recipe pastes them into a shell's line.
override TASK := $(value TASK)
override HANDLER := $(value HANDLER)
override EVENT := $(value EVENT)
export TASK HANDLER EVENT

BOOTSTRAP = dist/$(ARCH)/bootstrap
TARGET_DIR = $${CARGO_TARGET_DIR:-target}
# What make adds to the environment is none of the function's business.
UNSET = unset TASK HANDLER EVENT MAKEFLAGS MAKEOVERRIDES MFLAGS MAKELEVEL

.DEFAULT_GOAL := build

.PHONY: build
build: ## static dist/ARCH/bootstrap
	@deploy/build.sh "$(ARCH)"

.PHONY: invoke
invoke: emulator ## runs HANDLER of TASK once with EVENT; the response on standard output
	@bootstrap=$$(deploy/local.sh "$(ARCH)") || exit; \
	set -- --task "$$TASK" --handler "$$HANDLER" --event "$$EVENT"; \
	$(UNSET); \
	exec "$(TARGET_DIR)/debug/examples/emulator" invoke --bootstrap "$$bootstrap" "$$@"

.PHONY: serve
serve: emulator ## serves HANDLER of TASK on port 9000 until Ctrl-C
	@bootstrap=$$(deploy/local.sh "$(ARCH)") || exit; \
	set -- --task "$$TASK" --handler "$$HANDLER" --port 9000; \
	$(UNSET); \
	exec "$(TARGET_DIR)/debug/examples/emulator" serve --bootstrap "$$bootstrap" "$$@"

.PHONY: emulator
emulator:
	@cargo build --quiet --locked --example emulator --target-dir "$(TARGET_DIR)"

.PHONY: test
test: ## all tests that can run on this machine; says what was skipped and why
	@tests/all.sh

.PHONY: lint
lint: ## formatting and clippy
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

.PHONY: bench
bench: build ## size, start-up, cost of an event, memory, beside their floors and budgets
	@tests/bench/run.sh

.PHONY: lab
lab: ## the same in instructions, counted in a small machine: no noise, bounds of one per cent
	@deploy/build.sh x86_64
	@tests/lab/run.sh

.PHONY: vm
vm: ## the artefacts on Linux 5.10 and 6.1 of both architectures, in small machines
	@tests/vm/run.sh

.PHONY: miri
miri: ## unit tests of all readers and writers under Miri, where a nightly toolchain has it
	@tests/miri.sh

.PHONY: soak
soak: ## 200,000 events with failures, time-outs and API faults mixed in
	ZEROSTRAP_SOAK=1 cargo test --locked --release --test soak -- --nocapture

.PHONY: zip
zip: build ## dist/function.zip of TASK and HANDLER: same input, same bytes
	@python3 deploy/pack.py zip --bootstrap "$(BOOTSTRAP)" --task "$$TASK" \
	    --handler "$$HANDLER" --arch "$(ARCH)" --out dist/function.zip

.PHONY: layer
layer: build ## dist/ARCH/layer.zip: the bootstrap alone, for functions that share it
	@python3 deploy/pack.py layer --bootstrap "$(BOOTSTRAP)" --out "dist/$(ARCH)/layer.zip"

.PHONY: audit
audit: build ## reading order, line counts, unsafe inventory, system calls, sha256
	@tests/audit.sh

.PHONY: reproduce
reproduce: ## builds both architectures twice, under different circumstances, and compares
	@deploy/reproduce.sh

.PHONY: release
release: ## dist/ with all that a release consists of
	@deploy/release.sh

.PHONY: clean
clean: ## removes dist/ and target/
	rm -rf dist target

.PHONY: help
help: ## lists the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' Makefile | \
	    while IFS='|' read -r target does; do printf '%-16s%s\n' "$$target" "$$does"; done
	@sed -n 's/^# \([A-Z]\{4,\} .*\)/\1/p' Makefile
