"""How many threads a process uses: one, wherever work goes structure by structure; `--jobs` is how cores are used.

A second thread gains next to nothing on small matrices, and as soon as other work runs beside it the two wait for each
other: measured twenty times the time for the same relaxation.
"""

from __future__ import annotations

import os
import sys

#: Every variable by which a numerical library reads its number of threads, once, when it is loaded.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


def limit_threads(n: int = 1) -> None:
    """Give this process and those it starts `n` threads; call it before numpy is loaded.

    Libraries that are not loaded yet read it from the environment, whatever stood there before: a cluster's login
    script often asks for every core. Of those that are loaded only torch can still be told.
    """
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(n)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(n)
