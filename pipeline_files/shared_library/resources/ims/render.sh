#!/usr/bin/env bash
# Writes a kustomization of its own that puts one tag on the images of an overlay: nothing that is in git is edited.
set -euo pipefail
: "${OVERLAY:?}" "${RENDERED:?}" "${IMS_TAG:?}" "${SERVICES:?}"

fail() {
  echo "✗ $*" >&2
  exit 1
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
    name=ims/$service
    echo "  - { name: '$name', newName: '${IMS_REGISTRY:+$IMS_REGISTRY/}$name', newTag: '$IMS_TAG' }"
  done
} >"$RENDERED/kustomization.yaml"
manifests=$(kubectl kustomize "$RENDERED")

for service in $SERVICES; do
  grep -qE "image: [^ ]*ims/$service:$IMS_TAG\$" <<<"$manifests" || fail "$OVERLAY runs no image ims/$service"
done
if others=$(grep -E 'image: ([^ ]*/)?ims/' <<<"$manifests" | grep -vF ":$IMS_TAG"); then
  fail "$OVERLAY has images that did not get the tag: $(xargs <<<"$others")"
fi

# A Job cannot be changed once it is there. Named after what is deployed, a new version's is a new Job, and the same version's is left
# alone; as nothing replaces the old ones, they go by themselves after a week.
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
