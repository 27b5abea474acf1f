#!/usr/bin/env bash
# On a host with a GPU, torch, numpy, h5py and pytest: the CUDA tests, then the longest training that fits, then samples.
# Usage: tools/gpu_check.sh DATA.h5 CONFIG.toml OUTPUT_FOLDER MINUTES [INIT_CHECKPOINT]
#   DEVICE=cpu in the environment tries the script itself out.
# OUTPUT_FOLDER/run gets the checkpoint and state.h5, from which `--resume` goes on; pieces/ gets the weights in files of
# 12 MB at most, for hosts that send back small files only (join them in order with `cat`).
set -euo pipefail
cd "$(dirname "$0")/.."
data=$1 config=$2 out=$3 minutes=$4 init=${5:-}
device=${DEVICE:-cuda}
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1
started=$(date +%s)
mkdir -p "$out"

# A failed test is told of but does not cost the time that was lent.
python3 -m pytest -q -o addopts="" -p no:cacheprovider tests/training/test_cuda.py || echo "CUDA TESTS FAILED"

# How fast it is decides how many epochs the cosine of the learning rate spans.
set_epochs() { sed "s/^epochs *=.*/epochs = $1/; s/^log_every *=.*/log_every = 20/" "$config" > "$out/config.toml"; }
set_epochs 1000000
timeout -s TERM "${PROBE_SECONDS:-45}" python3 -m crystaltool.models.symmcd.fit "$data" --device "$device" \
  ${init:+--init "$init"} -o "$out/probe" --config "$out/config.toml" 2> "$out/probe.log" || true
tail -n 3 "$out/probe.log"
left=$((minutes * 60 - ($(date +%s) - started) - 45))
epochs=$(python3 - "$out/probe.log" "$left" <<'PY'
import re, sys
rows = [m for m in re.findall(r"(\d+)/(\d+) ([\d.]+)/s", open(sys.argv[1]).read())]
if not rows:
    sys.exit("the trial run ended before its first line of progress: more PROBE_SECONDS are needed")
steps_an_epoch, rate = int(rows[-1][1]) / 1_000_000, float(rows[-1][2])
print(max(1, int(rate * float(sys.argv[2]) / steps_an_epoch)))
PY
)
rm -rf "$out/probe"
set_epochs "$epochs"
echo "training $epochs epochs in $left s"
# SIGTERM saves the state, so that nothing is lost if the estimate was wrong.
timeout -s TERM $((left + 20)) python3 -m crystaltool.models.symmcd.fit "$data" --device "$device" \
  ${init:+--init "$init"} -o "$out/run" --config "$out/config.toml" 2>&1 | awk 'NR % 10 == 1'
ls -l "$out/run"
if [ -f "$out/run/model.safetensors" ]; then
  mkdir -p "$out/pieces"
  split -b 12000000 -d "$out/run/model.safetensors" "$out/pieces/model.safetensors."
  cp "$out/run/config.json" "$out/pieces/"
fi
