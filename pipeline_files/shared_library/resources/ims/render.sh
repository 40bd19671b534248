#!/usr/bin/env bash
# Writes a separate kustomization with the names of our images in an overlay, so that no file in git is edited. With a registry, the images
# are named by the digests in IMAGES, which the build has recorded. Without one, they are on the nodes already, with the commit's tag.
set -euo pipefail
: "${OVERLAY:?}" "${RENDERED:?}" "${IMS_TAG:?}" "${SERVICES:?}"

fail() {
  echo "✗ $*" >&2
  exit 1
}

which_image() {
  local digest
  if [[ -z ${IMS_REGISTRY:-} ]]; then
    echo "newTag: '$IMS_TAG'"
    return
  fi
  digest=$(awk -v image="$IMS_REGISTRY/ims/$1@" 'index($0, image) == 1 { print substr($0, length(image) + 1) }' <<<"${IMAGES:-}")
  [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || fail "IMAGES contains no digest of the image $IMS_REGISTRY/ims/$1"
  echo "newName: '$IMS_REGISTRY/ims/$1', digest: '$digest'"
}

[[ -f $OVERLAY/kustomization.yaml ]] || fail "there is no overlay $OVERLAY"
rm -rf "$RENDERED"
mkdir -p "$RENDERED"
{
  echo 'apiVersion: kustomize.config.k8s.io/v1beta1'
  echo 'kind: Kustomization'
  echo "resources: ['$(realpath --relative-to="$RENDERED" "$OVERLAY")']"
  echo 'images:'
  for service in $SERVICES; do
    which=$(which_image "$service")
    echo "  - { name: 'registry.invalid/ims/$service', $which }"
  done
} >"$RENDERED/kustomization.yaml"
manifests=$(kubectl kustomize "$RENDERED")

for service in $SERVICES; do
  grep -qE "image: [^ ]*ims/$service(:$IMS_TAG|@sha256:[0-9a-f]{64})\$" <<<"$manifests" || fail "$OVERLAY has no image ims/$service"
done
if others=$(grep -E 'image: ([^ ]*/)?ims/' <<<"$manifests" | grep -vE "(:$IMS_TAG|@sha256:[0-9a-f]{64})\$"); then
  fail "$OVERLAY has images of another commit: $(xargs <<<"$others")"
fi

# A Job is immutable. Its name contains the deployed version, so a new version gets a new Job, and the Job of the same version stays
# as it is. Nothing replaces the old Jobs, so they are deleted automatically after a week.
cat >>"$RENDERED/kustomization.yaml" <<END
transformers:
  - |-
    apiVersion: builtin
    kind: SuffixTransformer
    metadata: { name: job-names }
    suffix: '-$(sha256sum <<<"$manifests" | cut -c 1-10)'
    fieldSpecs: [{ kind: Job, path: metadata/name }]
patches:
  - target: { kind: Job }
    patch: '[{"op": "add", "path": "/spec/ttlSecondsAfterFinished", "value": 604800}]'
END
kubectl kustomize "$RENDERED" | grep -E '^ *(- )?image: ' | sort | uniq -c
