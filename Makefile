# The commands of the README. Each sets up what it needs: a virtual environment in .venv with the versions of
# constraints.txt. PYTHON names another interpreter; Blender's module wants Python 3.11.
PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable
DEMO_PORTRAIT := examples/portrait.webp
DEMO_MODEL := $(if $(wildcard weights/model_index.json),,out/smoke/run/model)
SOURCES := pyproject.toml constraints.txt CMakeLists.txt $(wildcard rodin/kernels/native/*)

TOOLS := build/tools/bin
SCRIPTS := .ci/run scripts/debian-libraries scripts/other-python scripts/try-wheel $(wildcard examples/slurm/*.sbatch)

.PHONY: demo smoke pictures docs test soak fuzz viewer lint bench bench-quality dist dist-pure audit sbom clean

# Draws with the model in weights/, in about a minute; until one is there, with the smoke model, which it trains first.
demo: .venv/.core $(DEMO_MODEL)
	OMP_NUM_THREADS=2 $(BIN)/rodin demo --out out/demo --image $(DEMO_PORTRAIT) $(addprefix --model ,$(DEMO_MODEL))

# Trains the whole chain at the smallest size, on 40 small avatars; 5 minutes on 2 cores.
smoke: .venv/.core
	$(BIN)/rodin train all examples/avatars --run out/smoke/run --preset smoke --workers 2

# The pictures of what the model draws, for the README, the guide and the pages on concepts. Those of the studio:
# scripts/studio_pictures.py.
pictures: .venv/.core
	$(BIN)/python scripts/pictures.py
	$(BIN)/python scripts/concepts.py

# The documentation as a site, which needs no network: out/docs/index.html. A warning is an error.
docs: .venv/.docs
	$(BIN)/python -m sphinx -b html -q -W --keep-going -d out/docs-trees docs out/docs
	@echo out/docs/index.html

test: lint tests/avatars/three/node_modules viewer/node_modules
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --durations=8

# What happens when commands are killed, 44 times, and when inputs are changed at random, 10 000 times: about half an hour
# each. Short forms are among the tests; results are in docs/reliability.md.
soak: .venv/.all
	$(BIN)/python scripts/soak.py

fuzz: .venv/.all
	$(BIN)/python -W ignore scripts/fuzz.py

# three.js, in which tests read and draw meshes, and the Khronos validator; without them those tests are skipped.
tests/avatars/three/node_modules: tests/avatars/three/package-lock.json
	@npm ci --prefix tests/avatars/three --no-audit --no-fund --loglevel error \
	  || echo "three.js and the Khronos validator are not installed: their tests will be skipped"

# What builds the viewer and the studio's page in rodin/web; without it a test that builds it again, and compares, is skipped.
viewer/node_modules: viewer/package-lock.json
	@npm ci --prefix viewer --no-audit --no-fund --loglevel error && touch $@ \
	  || echo "The viewer's tools are not installed: its bundle will not be checked"

# The bundles of the viewer and of the studio's page, which are part of the package.
viewer: viewer/node_modules
	npm run --prefix viewer build

lint: .venv/.all
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive rodin scripts benchmarks
	$(BIN)/yamllint --strict .github .yamllint.yaml examples
	$(BIN)/shellcheck $(SCRIPTS)
	$(BIN)/hadolint Dockerfile
	$(BIN)/zizmor --offline --quiet --no-progress .github/workflows

# Speed: prints every table and writes docs/benchmarks.md, in about half an hour.
bench: .venv/.all out/bench/heads128/.rendered
	$(BIN)/python benchmarks/run.py

# What models, fits and samplers are worth.
bench-quality: .venv/.all out/smoke/run/model out/heldout/.rendered
	for name in fit decoder materials upsampler refiner samplers editing paper_size smoke_chain; do \
	  $(BIN)/python benchmarks/$$name.py || exit 1; done

# 128-pixel views for the fits at full size.
out/bench/heads128/.rendered: | .venv/.all
	$(BIN)/rodin synth --out out/bench/heads128 --count 10 --views 24 --size 128 --seed 3000 --workers 2
	touch $@

out/smoke/run/model:
	$(MAKE) smoke

# 24 subjects that no part of the smoke model has seen.
out/heldout/.rendered: | .venv/.all
	$(BIN)/rodin synth --out out/heldout --count 24 --views 24 --size 64 --seed 1000 --workers 2
	touch $@

# What an index takes, in dist/: the source, the wheel for any system, and the wheel with native kernels for this one.
dist: dist-pure
	rm -rf build/wheels
	$(TOOLS)/python -m build --wheel --outdir build/wheels
	PATH=$(TOOLS):$$PATH auditwheel repair --strip --wheel-dir dist build/wheels/*.whl
	$(TOOLS)/twine check --strict dist/rodin_avatars-*
	$(TOOLS)/check-wheel-contents dist/*.whl

dist-pure: build/tools/.made
	rm -rf dist
	$(TOOLS)/validate-pyproject pyproject.toml
	$(TOOLS)/python -m build --sdist --outdir dist
	RODIN_PURE=1 $(TOOLS)/python -m build --wheel --outdir dist
	$(TOOLS)/twine check --strict dist/rodin_avatars-*
	$(TOOLS)/check-wheel-contents dist/*.whl

# Known vulnerabilities of every version in constraints.txt, as a service on the network knows them.
audit: build/tools/.made
	$(TOOLS)/pip-audit --strict --requirement constraints.txt --no-deps --disable-pip

# What comes with the wheel in dist/, as CycloneDX: dist/sbom.cdx.json.
sbom: build/tools/.made
	rm -rf build/shipped
	$(PYTHON) -m venv build/shipped
	build/shipped/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	  "$$(echo dist/rodin_avatars-*-none-any.whl)[studio]"
	$(TOOLS)/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible \
	  --validate --output-file dist/sbom.cdx.json build/shipped

build/tools/.made: scripts/release-tools.txt
	$(PYTHON) -m venv build/tools
	$(TOOLS)/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Python 3.11 is needed (Blender's module has no other); run: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	touch $@

.venv/.core: .venv/.made $(SOURCES)
	@echo "Installing Rodin and its libraries into .venv (a few minutes the first time) ..."
	$(PIP_INSTALL) .
	touch $@

.venv/.docs: .venv/.made $(SOURCES)
	$(PIP_INSTALL) '.[docs]'
	touch $@ .venv/.core

.venv/.all: .venv/.made $(SOURCES)
	@scripts/debian-libraries
	@echo "Installing Rodin with Blender and the test tools into .venv (a few minutes the first time) ..."
	$(PIP_INSTALL) '.[blender,cluster,mesh,video,studio,plot,tensorboard,words,docs,dev]'
	touch $@ .venv/.core .venv/.docs

clean:
	rm -rf .venv out build *.egg-info rodin/kernels/*.so
