"""Tests of the pure functions of the benchmarks, which are scripts beside each other and no package."""

import sys

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
