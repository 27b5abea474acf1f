#!/usr/bin/env bash
# On a host with a GPU, torch, numpy, h5py and pytest: the CUDA tests, then trainings beside each other that end in time.
# Usage: tools/gpu_check.sh OUTPUT_FOLDER MINUTES CONFIG.toml:DATA.h5[:INIT_CHECKPOINT]...
#   DEVICE=cpu tries the script itself out, PROBE_SECONDS is how long speed is measured, WORK is for what stays there,
#   SKIP_TESTS=1 goes straight to training.
# Small networks leave most of a GPU idle, so several runs share it. OUTPUT_FOLDER/NAME (the configuration's) is the run,
# which `--resume` goes on with; OUTPUT_FOLDER/NAME.config.json and NAME.weights.N are what to bring home, in pieces of
# 15 MB (join them in order with `cat`): the parts that were trained, and in 16 bits if HALF names the run.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$1 minutes=$2
shift 2
device=${DEVICE:-cuda}
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
started=$(date +%s)
mkdir -p "$out"
work=${WORK:-$out}
mkdir -p "$work"

# A failed test is told of but does not cost the time that was lent.
[ -n "${SKIP_TESTS:-}" ] || timeout 90 python3 -m pytest -q -o addopts="" -p no:cacheprovider tests/training/test_cuda.py || echo "CUDA TESTS FAILED"

# train NAME FOLDER DATA INIT SECONDS: one run, ended by SIGTERM (which saves its state) if the estimate was wrong.
train() {
  timeout -s TERM "$5" python3 -m crystaltool.models.symmcd.fit "$3" --device "$device" ${4:+--init "$4"} \
    -o "$2" --config "$work/$1.toml" > "$work/$1.log" 2>&1
}
# set_epochs CONFIG NAME EPOCHS LOG_EVERY
set_epochs() { sed "s/^epochs *=.*/epochs = $3/; s/^log_every *=.*/log_every = $4/" "$1" > "$work/$2.toml"; }

# each SECONDS FOLDER_PREFIX: all runs beside each other.
each() {
  for run in "${runs[@]}"; do
    IFS=: read -r config data init <<< "$run"
    name=$(basename "$config" .toml)
    train "$name" "$2/$name" "$data" "$init" "$1" &
  done
  wait
}
runs=("$@")

# How fast they are together decides how many epochs the cosine of each learning rate spans.
for run in "${runs[@]}"; do set_epochs "${run%%:*}" "$(basename "${run%%:*}" .toml)" 1000000 20; done
each "${PROBE_SECONDS:-60}" "$work/probe"
left=$((minutes * 60 - ($(date +%s) - started) - 25))
for run in "${runs[@]}"; do
  name=$(basename "${run%%:*}" .toml)
  tail -n 1 "$work/$name.log"
  epochs=$(python3 - "$work/$name.log" "$left" <<'PY'
import re, sys
rows = re.findall(r"(\d+)/(\d+) ([\d.]+)/s", open(sys.argv[1]).read())
rates = sorted(float(rate) for _, _, rate in rows[len(rows) // 2 :])
if not rates:
    sys.exit("the trial run ended before its first line of progress: more PROBE_SECONDS are needed")
start = 15 if len(rows) > 3 else 25
print(max(1, int(0.95 * rates[len(rates) // 2] * (float(sys.argv[2]) - start) * 1_000_000 / int(rows[-1][1]))))
PY
)
  set_epochs "${run%%:*}" "$name" "${epochs:-1}" 200
  echo "$name: ${epochs:-no} epochs in $left s"
done
rm -rf "$work/probe"
[ "$left" -gt 30 ] || exit
each $((left + 5)) "$work"
for run in "${runs[@]}"; do
  name=$(basename "${run%%:*}" .toml)
  tail -n 1 "$work/$name.log"
  [ -f "$work/$name/model.safetensors" ] || continue
  cp "$work/$name/config.json" "$out/$name.config.json"
  python3 - "$work/$name" "$name" "${HALF:-}" "$out/$name.weights" <<'PY'
import json, sys
from pathlib import Path
from crystaltool.training.checkpoint import read_safetensors, write_safetensors
folder, name, half, target = sys.argv[1:]
parts = json.loads((Path(folder) / "config.json").read_text())["config"]["parts"]
tensors = read_safetensors(Path(folder) / "model.safetensors")
kept = {key: value for key, value in tensors.items() if key.split(".")[0] in parts or "." not in key}
if name in half.split(","):
    kept = {key: value.half() if key.split(".")[0] in parts else value for key, value in kept.items()}
write_safetensors(Path(target), kept)
PY
  split -b 15000000 -d -a 1 "$out/$name.weights" "$out/$name.weights." && rm "$out/$name.weights"
done
ls -l "$out"
