#!/usr/bin/env bash
# Builds the image of one service from the checked out commit, which its labels name.
set -euo pipefail
: "${SERVICE:?}" "${IMS_TAG:?}"

export DOCKER_BUILDKIT=1
docker build --pull --progress plain \
  --file "$SERVICE/Dockerfile" \
  --tag "ims/$SERVICE:$IMS_TAG" \
  --build-arg "VERSION=$IMS_TAG" \
  --build-arg "REVISION=$IMS_TAG" \
  .
