# Two commands matter: `make demo` runs the product's main job, `make test` runs all checks and tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Each `make bench-*` writes its figures to benchmarks/results and prints them; ARGS=--quick is the short form.
.PHONY: architecture bench-gpu bench-page bench-precision bench-recipe bench-serve bench-train demo evaluate test test-gpu fuzz lint format serve screenshots clean

demo: $(VENV)/installed
	$(BIN)/python -m tools.demo $(ARGS)

serve: $(VENV)/installed
	$(BIN)/saft serve

# The paper's tables; ARGS="--data DIR --base ViT-B-16/openai" takes real ones.
evaluate: $(VENV)/installed
	$(BIN)/saft evaluate $(ARGS)

bench-train: $(VENV)/bench
	$(BIN)/python -m benchmarks.train $(ARGS)

# What each default of a training gains, in its own style and elsewhere.
bench-recipe: $(VENV)/dev
	$(BIN)/python -m benchmarks.recipe $(ARGS)

bench-serve: $(VENV)/bench
	$(BIN)/python -m benchmarks.serve $(ARGS)

# What bfloat16 changes; ARGS="--data DIR", a folder of styles.
bench-precision: $(VENV)/dev
	$(BIN)/python -m benchmarks.precision $(ARGS)

# How soon the page can be used, in Chromium.
bench-page: $(VENV)/dev
	$(BIN)/python -m benchmarks.page $(ARGS)

# On a CUDA device; where there is none, both say so and fail.
bench-gpu: $(VENV)/bench
	$(BIN)/python -m benchmarks.gpu $(ARGS)

# What is claimed of the core (tests marked gpu) on such a device.
test-gpu: $(VENV)/dev
	$(BIN)/python -m pytest --device cuda -m 'gpu and not cpu and not hf' tests/saft_core $(ARGS)

test: lint $(VENV)/hf/installed
	$(BIN)/python -m pytest $(ARGS)

# Ten minutes of schemathesis on a service of its own; ARGS are options of `schemathesis run`, as in
# ARGS='--max-time 3600 --include-path /classify'.
fuzz: $(VENV)/dev
	$(BIN)/python -m tests.fuzz $(ARGS)

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

screenshots: $(VENV)/dev
	$(BIN)/python -m tools.tour

# The picture of docs/architecture.md, from the imports of the code.
architecture: $(VENV)/dev
	$(BIN)/python -m tools.architecture

# Installed anew whenever pyproject.toml changes. Compiling every module of every package took longer than the demo runs;
# Python compiles those that are used.
$(VENV)/installed: pyproject.toml
	@echo "Installing what SAFT needs into $(VENV): once, some 2 minutes, 5 GB."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[openvino]'
	touch $@

# What checks and tests need beside it.
$(VENV)/dev: $(VENV)/installed
	@echo "Installing what the checks and tests need: once, a minute."
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[dev]'
	touch $@

$(VENV)/bench: $(VENV)/dev
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@

# What the extra saft[language] adds, and so saft[hf], beside the environment: within it, every import of open_clip would load transformers, and
# nothing would be tried as it runs without.
$(VENV)/hf/installed: $(VENV)/dev
	rm -rf $(@D)
	mkdir $(@D)
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["language"], sep="\n")' > $(@D)/requirements.txt
	$(BIN)/python -m pip install --quiet --prefix $(@D) --requirement $(@D)/requirements.txt
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
