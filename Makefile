# make demo: set-up, a sample object, training, testing, the table and the report. make test: set-up and all tests.
# make fuzz: more than 10,000 malformed files for the readers of the data room.
PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
TOY    ?= submarine
SAMPLE := data/samples/$(TOY)

.PHONY: demo test fuzz lint clean

demo: $(VENV)/installed
	$(PY) -m data generate --toy $(TOY) --views 100 --queries 8 --out $(SAMPLE)
	$(PY) anomaly_nerf_lego.py --data_dir data/samples --obj $(TOY)
	$(PY) auroc_test.py --data_dir data/samples --obj $(TOY)

test: $(VENV)/installed-dev
	$(PY) -m pytest

fuzz: $(VENV)/installed-dev
	$(PY) -m pytest tests/data -m hypothesis --hypothesis-profile=many --durations=5

lint: $(VENV)/installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: requirements.txt | $(VENV)/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/installed-dev: requirements-dev.txt requirements-benchmark.txt requirements-data.txt requirements.txt | $(VENV)/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis
