#!/usr/bin/env bash
# Pushes each image that was built and tested under the commit's id, and notes its digest, by which it is deployed. Safe to repeat: the registry keeps what it already has.
set -euo pipefail
: "${SERVICES:?}" "${IMS_TAG:?}" "${IMS_REGISTRY:?}" "${REGISTRY_USER:?}" "${REGISTRY_PASSWORD:?}"

# The login is written to a directory of this step's own, which goes with it: no other build of this agent can use it.
DOCKER_CONFIG=$(mktemp -d)
export DOCKER_CONFIG
trap 'rm -rf "$DOCKER_CONFIG"' EXIT

# On standard input: a command line can be read by every process of the machine.
docker login --username "$REGISTRY_USER" --password-stdin "${IMS_REGISTRY%%/*}" <<<"$REGISTRY_PASSWORD"
unset REGISTRY_PASSWORD

mkdir -p reports
: >reports/images.txt
for service in $SERVICES; do
  image=$IMS_REGISTRY/ims/$service
  # By its id: a name could mean another image by now.
  docker tag "$(<"reports/built/$service")" "$image:$IMS_TAG"
  docker push "$image:$IMS_TAG"
  # The same image may have been pushed elsewhere, too.
  docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$image:$IMS_TAG" |
    awk -v image="$image@" 'index($0, image) == 1' >>reports/images.txt
done
echo "pushed with the tag $IMS_TAG:"
cat reports/images.txt
