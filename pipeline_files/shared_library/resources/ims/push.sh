#!/usr/bin/env bash
# Pushes each tested image with the commit's id as tag, and records its digest for the deployment. Safe to repeat: the registry keeps existing images.
set -euo pipefail
: "${SERVICES:?}" "${IMS_TAG:?}" "${IMS_REGISTRY:?}" "${REGISTRY_USER:?}" "${REGISTRY_PASSWORD:?}"

# The login is written to a directory that is deleted with this step, so no other build on this agent can use it.
DOCKER_CONFIG=$(mktemp -d)
export DOCKER_CONFIG
trap 'rm -rf "$DOCKER_CONFIG"' EXIT

# The password goes to standard input, because every process on the machine can read a command line.
docker login --username "$REGISTRY_USER" --password-stdin "${IMS_REGISTRY%%/*}" <<<"$REGISTRY_PASSWORD"
unset REGISTRY_PASSWORD

mkdir -p reports
: >reports/images.txt
for service in $SERVICES; do
  image=$IMS_REGISTRY/ims/$service
  # Uses the id, because the name may refer to another image by now.
  docker tag "$(<"reports/built/$service")" "$image:$IMS_TAG"
  docker push "$image:$IMS_TAG"
  # The same image may also have been pushed to another registry.
  docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$image:$IMS_TAG" |
    awk -v image="$image@" 'index($0, image) == 1' >>reports/images.txt
done
echo "pushed with the tag $IMS_TAG:"
cat reports/images.txt
