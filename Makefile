# make demo: set-up, a sample object, training, testing, the table and the report. make test: set-up and all tests.
# make quick: without the slow ones. make coverage: all tests, and how much of the program they run. make lint: style
# and types. make fuzz: more than 10,000 malformed files and requests for the readers and the service. make pages:
# generated pages. make soak: README's commands and those of a new object, from nothing to verdicts. make docs: the pages
# as a site.
PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check
TOY    ?= submarine
SAMPLE := data/samples/$(TOY)

.PHONY: demo test quick coverage fuzz soak lint pages docs clean

demo: $(VENV)/installed
	$(PY) -m data generate --toy $(TOY) --views 100 --queries 8 --out $(SAMPLE)
	$(PY) anomaly_nerf_lego.py --data_dir data/samples --obj $(TOY)
	$(PY) auroc_test.py --data_dir data/samples --obj $(TOY)

test: $(VENV)/installed-dev
	$(PY) -m pytest

quick: $(VENV)/installed-dev
	$(PY) -m pytest -m "not slow"

coverage: $(VENV)/installed-dev
	$(PY) -m pytest --cov --cov-report=term:skip-covered

fuzz: $(VENV)/installed-dev
	$(PY) -m pytest tests/data tests/service tests/test_hostile_files.py -m hypothesis --hypothesis-profile=many --durations=5

soak: $(VENV)/installed-dev
	$(PY) -m pytest tests/test_soak.py --durations=5

lint: $(VENV)/installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

pages: $(VENV)/installed
	$(PY) -m pipeline.config_readme
	$(PY) -m docs.build_api

docs: $(VENV)/installed-dev
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml requirements.txt | $(VENV)/bin/python
	$(PIP) -r requirements.txt
	$(PY) -m pipeline.warm_up
	touch $@

$(VENV)/installed-dev: pyproject.toml requirements.txt | $(VENV)/bin/python
	$(PIP) -e ".[dev]"
	$(PY) -m pipeline.warm_up
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build site *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage
