"""Command lines run through the tool's own entry in forked children, each watched: a fresh process in 30 ms.

For each task a server process forks; the child goes to its folder, takes files as standard streams, gets its limits and
calls `crystaltool.cli.main.main`. What comes back is how the process ended. `learn` lets the server import what a
command imported, so that the next child need not.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GIGABYTE = 2**30
MAX_MEMORY = 2 * GIGABYTE
MAX_SECONDS = 30
WALL_FACTOR = 6
"""The machine may be busy: a hang is 30 s of processor time, or six times that by the clock."""

STDOUT, STDERR = "stdout", "stderr"
MODULES = "modules"


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Args:
        code: exit code; negative is a signal. seconds: processor time. wall: by the clock. memory: most resident bytes.
    """

    code: int
    seconds: float
    wall: float
    memory: int


class Server:
    """A running server; `run` takes one command line at a time."""

    def __init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CRYSTALTOOL_")}
        environment = kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.faults.server"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment,
        )  # fmt: skip

    def run(
        self,
        folder: Path,
        arguments: list[str],
        stdin: str = os.devnull,
        stdout: str | int = STDOUT,
        learn: bool = False,
        kill_at: float | None = None,
    ) -> Ended:
        """Run `crystaltool ARGUMENTS...`.

        Args:
            folder: where it runs; standard error is left there as `stderr`.
            stdin, stdout: files; a number for stdout is a pipe whose reader goes away after so many bytes.
            learn: import what the command has imported.
            kill_at: processor seconds after which it gets SIGKILL, with all that it has started.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps([str(folder), arguments, stdin, stdout, learn, kill_at]), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the server of command lines is gone")
        return Ended(**json.loads(line))

    def close(self) -> None:
        """End the server."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def serve() -> None:
    """Answer tasks on standard input until it ends."""
    from crystaltool.symmetry.space_group import tables
    from crystaltool.threads import limit_threads

    limit_threads(1)
    tables()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        folder, arguments, stdin, stdout, learn, kill_at = json.loads(line)
        ended = one(folder, arguments, (stdin, stdout), learn, kill_at)
        if learn:
            load(Path(folder, MODULES))
        print(json.dumps(asdict(ended)), file=answers, flush=True)


def load(names: Path) -> None:
    """Import what a child had imported."""
    for name in names.read_text().split() if names.exists() else ():
        if name not in sys.modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    names.unlink(missing_ok=True)
    gc.collect()
    gc.freeze()  # collections in children would copy the pages that they look at


def one(folder: str, arguments: list[str], streams: tuple[str, str | int], learn: bool, kill_at: float | None) -> Ended:
    """Fork, run, wait."""
    start = time.monotonic()
    stdin, stdout = streams
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(folder, arguments, (stdin, stdout if isinstance(stdout, str) else writer), learn)
    os.close(writer)
    status, usage = None, None
    with _alarm(MAX_SECONDS * WALL_FACTOR):
        while usage is None:
            try:
                if isinstance(stdout, int) and stdout:
                    os.read(reader, stdout)
                os.close(reader)
                if kill_at is not None:
                    _kill_after(child, kill_at)
                _, status, usage = os.wait4(child, 0)
            except _Late:
                os.killpg(child, signal.SIGKILL)
                stdout, reader = 0, os.dup(2)
    with contextlib.suppress(OSError):
        os.killpg(child, signal.SIGKILL)  # what it may have started and left
    code = os.waitstatus_to_exitcode(status or 0)
    return Ended(
        code, round(usage.ru_utime + usage.ru_stime, 3), round(time.monotonic() - start, 3), usage.ru_maxrss * 1024
    )


def _kill_after(child: int, seconds: float) -> None:
    while True:
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        if fields[0] == "Z":
            return
        if (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") >= seconds:
            with contextlib.suppress(OSError):
                os.killpg(child, signal.SIGKILL)
            return
        time.sleep(0.001)


class _Late(Exception):
    pass


@contextlib.contextmanager
def _alarm(seconds: float):
    def late(*_: object) -> None:
        raise _Late

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _child(folder: str, arguments: list[str], streams: tuple[str, str | int], learn: bool) -> None:
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        writing = os.O_WRONLY | os.O_CREAT
        for number, (stream, flags) in enumerate(zip((*streams, STDERR), (os.O_RDONLY, writing, writing), strict=True)):
            os.dup2(os.open(stream, flags, 0o644) if isinstance(stream, str) else stream, number)
        own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (own + MAX_MEMORY, own + MAX_MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.argv = ["crystaltool", *arguments]
        from crystaltool.cli.main import main

        main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 71
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if learn:
        Path(folder, MODULES).write_text("\n".join(sys.modules))
    os._exit(code)


if __name__ == "__main__":
    serve()
