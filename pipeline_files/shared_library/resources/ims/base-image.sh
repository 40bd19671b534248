#!/usr/bin/env bash
# Prints the base image of the services with its digest, so that all are built on the same one, and records it in reports/.
set -euo pipefail

name=$(sed -n 's/^ARG NODE_IMAGE=//p' producer/Dockerfile)
docker pull --quiet "$name" >&2
image=$(docker image inspect --format '{{index .RepoDigests 0}}' "$name")
mkdir -p reports
echo "$name $image" >reports/base-images.txt
echo "$image"
