#!/usr/bin/env bash
# Builds the image of one service from the checked out commit, labels it with that commit, and records its id.
set -euo pipefail
: "${SERVICE:?}" "${IMS_TAG:?}" "${NODE_IMAGE:?}"

export DOCKER_BUILDKIT=1
mkdir -p reports/built
docker build --progress plain \
  --file "$SERVICE/Dockerfile" \
  --tag "registry.invalid/ims/$SERVICE:$IMS_TAG" \
  --iidfile "reports/built/$SERVICE" \
  --build-arg "NODE_IMAGE=$NODE_IMAGE" \
  --build-arg "VERSION=$IMS_TAG" \
  --build-arg "REVISION=$IMS_TAG" \
  .
