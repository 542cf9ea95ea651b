#!/usr/bin/env bash
# Every test. Phones and pods come first and alone, since they measure time; of the others most wait
# for something, and the crash matrix, which only computes, has what they leave of the processor.
set -uo pipefail
run=(.venv/bin/python -m pytest)
failed=0

"${run[@]}" tests/e2e || failed=1

matrix=$(mktemp)
nice "${run[@]}" tests/chaos >"$matrix" 2>&1 &
prover=$!
trap 'kill "$prover" 2>/dev/null; rm -f "$matrix"' EXIT
"${run[@]}" --ignore=tests/e2e --ignore=tests/chaos --numprocesses=2 --dist=loadfile || failed=1
echo "waiting for the crash matrix"
wait "$prover" || failed=1
cat "$matrix"
exit $failed
