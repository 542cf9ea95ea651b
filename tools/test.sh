#!/usr/bin/env bash
# Every test. Calls and pods come first and alone, since they measure time; of the others most wait
# for something, and the crash matrix, which only computes, has what they leave of the processor.
set -uo pipefail
run=(.venv/bin/python -m pytest)
failed=0

alone=(tests/e2e tests/integration/voice tests/integration/bench tests/integration/carrier
  tests/integration/sip tests/integration/infra/test_sip_media.py)
"${run[@]}" "${alone[@]}" || failed=1

matrix=$(mktemp)
nice "${run[@]}" tests/chaos >"$matrix" 2>&1 &
prover=$!
trap 'kill "$prover" 2>/dev/null; rm -f "$matrix"' EXIT
"${run[@]}" "${alone[@]/#/--ignore=}" --ignore=tests/chaos --numprocesses=3 --dist=loadfile || failed=1
echo "waiting for the crash matrix"
wait "$prover" || failed=1
cat "$matrix"
exit $failed
