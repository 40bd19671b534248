#!/usr/bin/env bash
# Removes the tags of this build's images, so that the agents' disks do not fill up.
set -uo pipefail
: "${SERVICES:?}" "${IMS_TAG:?}"

for service in $SERVICES; do
  for image in "registry.invalid/ims/$service:$IMS_TAG" ${IMS_REGISTRY:+"$IMS_REGISTRY/ims/$service:$IMS_TAG"}; do
    docker image rm --force "$image" >/dev/null 2>&1 || true
  done
done
