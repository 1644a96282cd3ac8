# The two commands are `make demo` and `make test`; `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help demo test check soak generate fixtures format clean

help:  ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

demo: $(STAMP)  ## Optimise a model trained on real bars and prove that it trades the same
	mkdir -p build/demo
	$(BIN)/aitrade quantize fixtures/models/lstm.pt --int8 \
	  --data fixtures/bars/eurusd_1h.parquet -o build/demo/lstm.int8.onnx --force
	$(BIN)/aitrade inspect build/demo/lstm.int8.onnx

# Two files at a time, one thread each: spinning threads of two tests on two cores cost both.
test: $(STAMP)  ## Pass the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

check: $(STAMP)  ## Lint, types, generated files up to date
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --warnings
	$(BIN)/python docs/generate.py --check

soak: $(STAMP)  ## Full counts of fuzzing and kills
	$(BIN)/python -m tests.soak.loader --count 10000 --seed 1
	$(BIN)/python -m tests.soak.kills --count 500 --seed 1
	$(BIN)/python -m tests.soak.replay --kills 200 --damages 500 --seed 1
	$(BIN)/python -m tests.soak.tune --moments 200 --seed 1
	$(BIN)/python -m tests.soak.train --kills 100 --seed 1
	$(BIN)/python -m tests.soak.profile --least 11

generate: $(STAMP)  ## Rewrite the reference pages, completions and tables
	$(BIN)/python docs/generate.py

fixtures: $(STAMP)  ## Train the fixture models again from the bars
	$(BIN)/python fixtures/scripts/train_models.py --seed 7

format: $(STAMP)  ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove the environment and what was built
	rm -rf .venv build dist

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@
