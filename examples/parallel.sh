#!/bin/bash
# ./parallel.sh SHARDS: GNU parallel runs the shards, as many at a time as there are cores. Run again, it goes on.
set -eu
shards=${1:-8}
export N=${N:-10000} SEED=${SEED:-1} MODEL=${MODEL:-symmcd}
mkdir -p parts

one_shard() {
    part=parts/$(printf %04d "$1")
    crystaltool sample "$MODEL" -n "$N" --seed "$SEED" --shard "$1/$2" --no-provenance --resume -o "$part.cif" &&
        crystaltool check --json --exit-zero --resume -o "$part.jsonl" "$part.cif" &&
        crystaltool check --pass --exit-zero --resume -o "$part.valid.cif" "$part.cif"
}
export -f one_shard

parallel --halt soon,fail=1 --joblog parts/log one_shard {} "$shards" ::: $(seq "$shards")
cat parts/[0-9]*.valid.cif > valid.cif
cat parts/[0-9]*.jsonl > checked.jsonl
