# One word for what a developer or an operator does often. Paths are relative on purpose: make cannot
# hold a path with spaces, and the checkout may lie anywhere.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.PHONY: help venv develop demo test lint format proto lock messages sbom bench clean

# Everything a person has to install first is told in one line, before anything is done.
missing = $(shell deploy/make-venv check 2>&1)

help: ## what can be made
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 18

venv: ## .venv with the two commands, from the hash-locked requirements
	$(if $(missing),$(error $(missing)))
	@deploy/make-venv run

develop: ## the same, and what the gate needs
	$(if $(missing),$(error $(missing)))
	@deploy/make-venv develop

demo: venv ## a registry and two nodes exchange a sealed document on this machine
	@.venv/bin/edocnode demo

test: ## the whole gate, as CI runs it
	@bash .ci/run

lint: develop ## form, types and the direction of imports, without running a test
	@bash .ci/run lint

format: develop ## bring code and schema into form
	@.venv/bin/ruff check --fix --exit-zero --quiet .
	@.venv/bin/ruff format .
	@cd proto && ../.venv/bin/buf format --write

proto: ## generate the Python code of the schema
	$(if $(missing),$(error $(missing)))
	@proto/generate

lock: develop ## lock the requirements of pyproject.toml anew
	@deploy/requirements/lock

messages: develop ## bring the catalogues of translations up to date
	@.venv/bin/python -m tests.support.messages

sbom: ## dist/edocnode.cdx.json: every package a node is made of, with its hashes
	$(if $(missing),$(error $(missing)))
	@deploy/make-sbom

bench: develop ## how fast, how small; beside raw floors and other ways
	@.venv/bin/python -u -m tests.benchmarks $(BENCH)

clean: ## remove what was made, but no data folder
	@rm -rf .venv .tools dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find proto node registry tests -name __pycache__ -type d -prune -exec rm -rf {} +
