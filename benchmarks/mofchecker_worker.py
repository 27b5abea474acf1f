"""Verdicts of mofchecker-next, for `mof_checks_reference.py`: run by the Python of an environment that has it.

Reads paths of CIF files, one a line, from standard input; prints a JSON object for each: `name`, `seconds`, and every
descriptor asked for on the command line, null where the package gives none.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path

TIME_LIMIT = 120
"""Seconds for one descriptor; some take hours on large cells."""


def main() -> None:
    """One answer a line."""
    from mofchecker_next.core import MOFChecker

    def give_up(*_: object) -> None:
        raise TimeoutError

    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, give_up)
    for line in sys.stdin:
        path, start = Path(line.strip()), time.process_time()
        answer: dict[str, object] = {"name": path.stem}
        try:
            checker = MOFChecker.from_cif(path)
            for name in sys.argv[1:]:
                signal.alarm(TIME_LIMIT)
                try:
                    value = getattr(checker, name)
                    answer[name] = None if value is None else bool(value)
                except Exception:
                    answer[name] = None
                signal.alarm(0)
        except Exception as error:
            answer["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(answer | {"seconds": time.process_time() - start}), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
