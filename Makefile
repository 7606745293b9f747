# Everything a person needs: `make run` and `make test`.

.PHONY: run test lint bench soak build clean help

run: ## set up this machine, build, start the server with the demo lecture, print the page's address
	@scripts/run

test: ## set up this machine, then lint and run every test
	@scripts/test

lint: ## formatting, clippy, licences, types
	@scripts/lint

bench: ## measure ours beside the peers and print tables
	@scripts/bench

soak: ## the demo for ten minutes: nothing dropped, no growing lag
	@scripts/soak

build: ## set up and build the release binaries
	@scripts/build

help:
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile
