#!/usr/bin/env bash
# Prints the names of the services that this commit has: each has a folder with a Dockerfile.
set -euo pipefail
shopt -s failglob

for file in consumer_*/Dockerfile producer/Dockerfile; do printf '%s ' "$(dirname "$file")"; done
