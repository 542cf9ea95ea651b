#!/usr/bin/env bash
# Every test. The crash matrix only computes: it has what pods, and then all that mostly waits, leave
# of the processor. Calls come last and alone, since they measure time.
#
# Beside the matrix all go by the clock of real programs on a machine that may stall: what fails is
# tried once more, in plain sight.
set -uo pipefail
run=(.venv/bin/python -m pytest --durations=25)
failed=0

twice() {
  "${run[@]}" "$@"
  local status=$?
  ((status == 1)) || return $status # 1 is of tests that failed
  "${run[@]}" "$@" --last-failed --last-failed-no-failures=none
}

pods=(tests/e2e/deploy tests/e2e/cluster
  tests/e2e/runtime/test_{agent_gateway,home_lab,podman_stack,process_runtime}.py)
calls=(tests/e2e/platform tests/e2e/runtime/test_podman_runtime.py
  tests/integration/{voice,bench,carrier,sip} tests/integration/infra/test_sip_media.py)
apart=("${pods[@]}" "${calls[@]}" tests/chaos)

matrix=$(mktemp)
nice -n 19 "${run[@]}" -p no:cacheprovider tests/chaos >"$matrix" 2>&1 &
prover=$!
trap 'kill "$prover" 2>/dev/null; rm -f "$matrix"' EXIT

twice "${pods[@]}" || failed=1
# Those that take longest begin, and none is waited for at the end.
twice tests/{property,integration,unit,e2e} "${apart[@]/#/--ignore=}" \
  --numprocesses=3 --dist=loadfile --no-loadscope-reorder || failed=1
echo "waiting for the crash matrix"
wait "$prover" || failed=1
cat "$matrix"
twice "${calls[@]}" || failed=1
exit $failed
