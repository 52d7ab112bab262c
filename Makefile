# What can be done here; `make help` lists it. Every target is a plain command that can be run by
# hand as well.
#
# ARCH     x86_64 or arm64 (default: this machine's)
# TASK     the function's folder                 HANDLER  as Lambda's _HANDLER
# EVENT    a JSON text, @FILE or @- (stdin)      PORT     where `make serve` listens (9000)
# TIMEOUT  the function's, in seconds (30)       MEMORY   its memory size in MB (128)
# ENV_FILE a file of NAME=value lines            PREFIX   where `make install` puts it
# INCLUDE  a pattern of files to be packed that are left out by default
# EXCLUDE  a pattern of files to be left out
# BOOTSTRAP a function that is its own bootstrap, for `make zip`; HANDLER and TASK are not asked then

ARCH ?= $(shell uname -m)
override ARCH := $(patsubst aarch64,arm64,$(ARCH))
TASK ?= examples/hello
HANDLER ?= function.handler
EVENT ?= {"name":"world"}
PREFIX ?= /usr/local

# These may hold anything, and make expands a `$` in what it is given. So they are taken as they
# were written and handed on as environment variables: no recipe pastes them into a shell's line.
OPTIONS = TASK HANDLER EVENT PORT TIMEOUT MEMORY ENV_FILE INCLUDE EXCLUDE BOOTSTRAP PREFIX DESTDIR
$(foreach name,$(OPTIONS),$(eval override $(name) := $$(value $(name))))
export $(OPTIONS)

# What make adds to the environment is none of the function's business.
UNSET = unset $(OPTIONS) ARCH MAKEFLAGS MAKEOVERRIDES MFLAGS MAKELEVEL
# The options of both commands. Make itself ends by Ctrl-C, and prints an error if a recipe does.
FUNCTION = --arch "$(ARCH)" --task "$$TASK" --handler "$$HANDLER" --interrupted 0 \
	$${TIMEOUT:+"--timeout=$$TIMEOUT"} $${MEMORY:+"--memory=$$MEMORY"} \
	$${ENV_FILE:+"--env-file=$$ENV_FILE"}
PACKED = $${INCLUDE:+"--include=$$INCLUDE"} $${EXCLUDE:+"--exclude=$$EXCLUDE"}

.DEFAULT_GOAL := build

.PHONY: build
build: ## static dist/ARCH/bootstrap
	@deploy/build.sh "$(ARCH)"

.PHONY: invoke
invoke: ## runs HANDLER of TASK once with EVENT; the response on standard output
	@set -- $(FUNCTION) --event "$$EVENT"; $(UNSET); exec deploy/zerostrap invoke "$$@"

.PHONY: serve
serve: ## serves HANDLER of TASK on PORT until Ctrl-C
	@set -- $(FUNCTION) $${PORT:+"--port=$$PORT"}; $(UNSET); exec deploy/zerostrap serve "$$@"

.PHONY: check
check: ## says what of HANDLER in TASK would fail on Lambda
	@exec deploy/zerostrap check --arch "$(ARCH)" --task "$$TASK" --handler "$$HANDLER" $(PACKED)

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

.PHONY: coverage
coverage: ## lines of src/ that no test reaches, beside the reasons of docs/coverage.md
	@python3 tests/coverage/run.py

.PHONY: mutants
mutants: ## small changes of the code that no test notices; takes hours
	@tests/mutants/run

.PHONY: soak
soak: ## 200,000 events with failures, time-outs and API faults mixed in
	ZEROSTRAP_SOAK=1 cargo test --locked --release --test soak -- --nocapture

.PHONY: zip
zip: ## dist/function.zip of TASK and HANDLER: same input, same bytes
	@set -- --task "$$TASK" --handler "$$HANDLER"; \
	[ -z "$$BOOTSTRAP" ] || set -- --bootstrap "$$BOOTSTRAP"; \
	exec deploy/zerostrap zip --arch "$(ARCH)" "$$@" $(PACKED) --out dist/function.zip

.PHONY: layer
layer: ## dist/ARCH/layer.zip: the bootstrap alone, for functions that share it
	@exec deploy/zerostrap layer --arch "$(ARCH)" --out "dist/$(ARCH)/layer.zip"

.PHONY: install
install: ## the command `zerostrap` and what it needs, below PREFIX (/usr/local)
	@deploy/install.sh "$$DESTDIR$$PREFIX"

.PHONY: audit
audit: build ## reading order, unsafe inventory, system calls, sha256; dist/audit.html
	@tests/audit.sh

.PHONY: reproduce
reproduce: ## builds both architectures twice, under different circumstances, and compares
	@deploy/reproduce.sh

.PHONY: bare
bare: ## the commands of the README in a bare Debian: needs root, debootstrap, about 5 minutes
	@tests/bare/run.sh

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
	@sed -n 's/^# \([A-Z_]\{4,\} .*\)/\1/p' Makefile
