# Rodin with PyTorch's CPU build, for a user without rights:
#
#   docker build -t rodin .                        # draws, and serves the studio
#   docker build -t rodin-cluster --target cluster .   # also renders sets with Blender, on the nodes of a Ray cluster
#   docker run --rm -v "$PWD:/work" rodin generate --text "an old man with a white beard" --out out
#   docker run --rm -p 127.0.0.1:8000:8000 rodin studio --host 0.0.0.0 --no-browser
#
# The last prints an address with a token, which the page asks for. /work must be writable for user 1000.

FROM python:3.11-slim-bookworm AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY pyproject.toml CMakeLists.txt constraints.txt README.md LICENSE ./
COPY rodin rodin
COPY weights weights
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm AS base
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY --from=build /wheels /wheels
COPY constraints.txt /wheels/
RUN python -m venv /opt/rodin && \
    /opt/rodin/bin/pip install --no-cache-dir --constraint /wheels/constraints.txt --extra-index-url "$TORCH_INDEX" \
      "$(echo /wheels/rodin*.whl)[mesh,studio,video]"
ENV PATH=/opt/rodin/bin:$PATH PYTHONDONTWRITEBYTECODE=1
RUN useradd --create-home --uid 1000 rodin && mkdir /work && chown rodin: /work
WORKDIR /work
ENTRYPOINT ["rodin"]
CMD ["--help"]

FROM base AS cluster
# What Blender's module needs (scripts/debian-libraries), and wget, which KubeRay's probes call; its jobs want ray[default].
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install --yes --no-install-recommends \
      libgl1 libsm6 libx11-6 libxfixes3 libxi6 libxkbcommon0 libxrender1 wget && \
    rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir --constraint /wheels/constraints.txt \
      "$(echo /wheels/rodin*.whl)[blender,cluster]" "ray[default]"
USER 1000
ENTRYPOINT []
CMD ["rodin", "--help"]

FROM base AS rodin
USER 1000
