#!/usr/bin/env bash
# Tries the failed cells of one view of many runs again and writes one line for each run that had any.
set -uo pipefail

usage() {
  cat <<'END'
Usage: rerun_failed_sparse.sh [--view NAME] [--remedy REMEDY] RUN [RUN ...] [-- OPTION ...]

Tries the failed cells of the sparse view of each RUN again with `fly64dask rerun`. Every attempt is kept.
Writes one line for each RUN with such cells, and nothing where there are none.

  --view NAME      another view than sparse (or FLY64DASK_VIEW)
  --remedy REMEDY  guarded, respace or as-is; guarded if not given (or FLY64DASK_REMEDY)
  -- OPTION ...    further options of `fly64dask rerun`, such as --workers 4, --kind degenerate_scan or --recipe NAME
  -h, --help       this text

FLY64DASK names the fly64dask to use; without it .venv/bin/fly64dask of this checkout, then the PATH.

Exit code: 0 no such cell is failed any more; 1 some still are; 2 a RUN could not be used or is none.
A RUN that another process is using is left for the next time and turns no exit code.

In a crontab, every hour:
  15 * * * * /opt/fly64dask/scripts/rerun_failed_sparse.sh /data/runs/*/ >> /data/rerun.log 2>&1
END
}

fail() {
  echo "rerun_failed_sparse.sh: $1" >&2
  exit 2
}

find_fly64dask() {
  local here
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  if [ -n "${FLY64DASK:-}" ]; then
    command -v "$FLY64DASK" || fail "FLY64DASK=$FLY64DASK cannot be run; give the path of a fly64dask"
  elif [ -x "$here/../.venv/bin/fly64dask" ]; then
    echo "$here/../.venv/bin/fly64dask"
  else
    command -v fly64dask || fail "no fly64dask in $here/../.venv or on the PATH; run make install or set FLY64DASK"
  fi
}

view=${FLY64DASK_VIEW:-sparse}
remedy=${FLY64DASK_REMEDY:-guarded}
runs=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --view | --remedy)
      [ $# -ge 2 ] || fail "$1 needs a value"
      if [ "$1" = --view ]; then view=$2; else remedy=$2; fi
      shift 2
      ;;
    --) shift; break ;;
    -*) fail "unknown option $1; options of fly64dask rerun go after --" ;;
    *) runs+=("$1"); shift ;;
  esac
done
[ ${#runs[@]} -gt 0 ] || { usage >&2; exit 2; }
fly64dask=$(find_fly64dask) || exit 2
said=$(mktemp) || fail "no temporary file can be made"
trap 'rm -f "$said"' EXIT

worst=0
for run in "${runs[@]}"; do
  result=$("$fly64dask" rerun "$run" --failed --view "$view" --remedy "$remedy" "$@" 2>"$said")
  code=$?
  # The last line that it prints is its result.
  result=${result##*$'\n'}
  if [ $code -eq 130 ]; then
    echo "$(date -u +%FT%TZ) $run: interrupted" >&2
    exit 130
  elif [ $code -eq 2 ] && grep -q 'another run is using it' "$said"; then
    result="in use, left for the next time: $(grep -o '(host .*)' "$said" | tail -n 1)"
    code=0
  elif [ $code -gt 1 ]; then
    result="exit code $code: $(tail -n 1 "$said")"
    code=2
  elif [ "$result" = "rerun: no failed cell matches" ]; then
    continue
  fi
  echo "$(date -u +%FT%TZ) $run: ${result#rerun: }"
  if [ $code -gt $worst ]; then worst=$code; fi
done
exit $worst
