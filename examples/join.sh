#!/bin/bash
# The parts of an array job as one, in order.
set -eu
cat parts/[0-9]*.valid.cif > valid.cif
cat parts/[0-9]*.jsonl > checked.jsonl
