#!/usr/bin/env bash
# Submits every study of a folder to Slurm, each into a run directory of its own name.
set -uo pipefail

usage() {
  cat <<'HELP'
Usage: scripts/submit_matrix.sh STUDIES RUNS CLUSTER_FILE [OPTION...]

Submit each STUDIES/*.toml as RUNS/<its name>, with `fly64dask submit`. Further options go to each of them.
A run that has a controller job already is left alone, so the same command continues what has ended.

  scripts/submit_matrix.sh studies /scratch/me/runs cluster/slurm.toml --view sparse

FLY64DASK names the command if it is neither beside this script (.venv) nor on PATH.
Exit code: 0 if each was submitted or is under way, 1 if one was not, 2 for wrong arguments.
HELP
}

if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
  usage
  exit 0
fi
if [ $# -lt 3 ] || [ ! -d "$1" ] || [ ! -f "$3" ]; then
  usage >&2
  exit 2
fi
studies=$1 runs=$2 cluster=$3
shift 3

beside=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin/fly64dask
command=${FLY64DASK:-$([ -x "$beside" ] && echo "$beside" || echo fly64dask)}

shopt -s nullglob
files=("$studies"/*.toml)
if [ ${#files[@]} -eq 0 ]; then
  echo "no study (*.toml) in $studies" >&2
  exit 2
fi
failed=0
for file in "${files[@]}"; do
  name=$(basename "$file" .toml)
  if said=$("$command" submit "$file" --out "$runs/$name" --cluster "$cluster" "$@" 2>&1); then
    echo "$name: $(head -n 1 <<<"$said")"
  elif [[ $said == *"controller job"*"already"* ]]; then
    echo "$name: under way"
  else
    echo "$name: not submitted: $said" >&2
    failed=1
  fi
done
exit $failed
