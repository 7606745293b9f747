# Everything a person needs: `make run` and `make test`.

SHELL := bash
.PHONY: run test fuzz lint build bench soak clean help

run: ## set up this machine, build, start the server with the demo lecture, print the page's address
	@scripts/run $(ARGS)

test: ## set up this machine, then lint and run every test (ARGS="…" goes to cargo nextest run)
	@scripts/test $(ARGS)

fuzz: ## look for bytes that a parser cannot take (ARGS="TARGET SECONDS")
	@scripts/fuzz $(ARGS)

lint: ## formatting, clippy, licences, types
	@scripts/setup test && scripts/lint

build: ## set up and build the release binaries
	@scripts/build

bench: ## measure ours beside the peers and print tables
	@scripts/bench $(ARGS)

soak: ## the demo for ten minutes: nothing dropped, no growing lag
	@scripts/soak $(ARGS)

clean: ## remove what was built here; models, downloads and tools stay
	@. scripts/lib.sh && rm -rf web/dist web/node_modules && cargo clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10
