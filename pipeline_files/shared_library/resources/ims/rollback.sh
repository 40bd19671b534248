#!/usr/bin/env bash
# Restores the state that record.sh has recorded: the applied configuration, and the revision of each Deployment. Safe to repeat.
# It does not change StatefulSets, because an older version may not be able to read their data, and does not delete new objects.
set -uo pipefail
: "${RENDERED:?}" "${NAMESPACE:?}"
within_s=${ROLLBACK_WITHIN_S:-300}
record=$RENDERED/before
changed=$RENDERED/changed # Deployments that this attempt or an earlier one has found changed
failed=()

if [[ ! -d $record ]]; then
  echo '✗ there is no record of the previous state, so nothing can be rolled back' >&2
  exit 1
fi

# now NAME JSONPATH: the same value as in record.sh, or nothing when the object does not exist.
now() {
  kubectl get "$1" --namespace "$NAMESPACE" --ignore-not-found --output jsonpath="$2"
}

readonly APPLIED='{.metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration}'

# A service that is rolled back needs the configuration of its old version.
reapply() {
  local applied
  applied=$(now "$1" "$APPLIED") || return 1
  [[ $applied != "$(<"$record/$1/applied")" ]] || return 0
  kubectl apply -f "$record/$1/applied"
}

# Compares templates, because the revision number is updated late and the generation also changes with scaling.
undo() {
  local template
  template=$(now "$1" '{.spec.template}') || return 1
  [[ $template != "$(<"$record/$1/template")" ]] || return 0
  echo "$1" >>"$changed"
  kubectl rollout undo "$1" --namespace "$NAMESPACE" --to-revision "$(<"$record/$1/revision")" || return 1
}

# Restores the annotation. Otherwise the next apply would compare with the failed manifest, and would keep members that the failed
# manifest had removed and the rollback has restored.
forget() {
  local applied
  applied=$(<"$record/$1/applied")
  [[ -z $applied || $applied == "$(now "$1" "$APPLIED")" ]] ||
    kubectl annotate "$1" --namespace "$NAMESPACE" --overwrite "kubectl.kubernetes.io/last-applied-configuration=$applied"
}

touch "$changed"
names=$(cd "$record" && find . -mindepth 2 -maxdepth 2 | sed 's|^\./||' | sort)
for name in $(grep -Ev '^(deployment|statefulset)\.apps/' <<<"$names"); do reapply "$name" || failed+=("$name"); done
for name in $(grep '^deployment\.apps/' <<<"$names"); do { undo "$name" && forget "$name"; } || failed+=("$name"); done
# Waits after all were undone, so that no Deployment waits for another that does not become ready.
for name in $(sort -u "$changed"); do
  if kubectl rollout status "$name" --namespace "$NAMESPACE" --timeout "${within_s}s"; then
    echo "↩ $name runs its previous revision again"
  else
    failed+=("$name")
  fi
done

for name in $(grep '^statefulset\.apps/' <<<"$names"); do
  [[ $(now "$name" '{.spec.template}') == "$(<"$record/$name/template")" ]] || echo "! $name was changed too, and is not rolled back"
done
if ((${#failed[@]} > 0)); then
  echo "✗ not rolled back: ${failed[*]}" >&2
  exit 1
fi
echo "✓ $(sort -u "$changed" | wc -l) Deployment(s) rolled back"
