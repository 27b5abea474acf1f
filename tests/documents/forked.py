"""`crystaltool` (and Python) forked from a process that has every library loaded: a command starts at once.

`serving(folder)` leaves in `folder/bin` the commands `crystaltool`, `python` (for `-m MODULE`) and `script` (of
Python's text), for a shell's PATH. What runs is the entry of the console script, on the caller's own standard streams;
only loading is saved. How each ended, and what processor time it took, stands in `folder/log`.
"""

from __future__ import annotations

import contextlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

HEAVY = (
    "torch",
    "torch._dynamo",
    "scipy.optimize",
    "scipy.spatial",
    "rdkit.Chem",
    "h5py",
    "gemmi",
    "spglib",
    "moyopy",
    "ase.io",
)
HEAVY += ("pymatgen.core.structure", "pymatgen.analysis.structure_matcher", "chgnet.model")

WARM = (
    "sample symmcd -n 1 --candidates 2 --steps 6 -o a.cif",
    "relax --max-steps 1 a.cif -o b.cif",
    "measure --hull b.cif -o c.cif",
    "check c.cif -o c.tsv",
    "sample mofdiff -n 1 -o a.h5",
    "assemble a.h5 -o m.cif",
    "check m.cif -o m.tsv",
    "measure --predict m.cif -o n.cif",
)
"""Run once before any call: tables and weights that they load are there for all."""

CLIENT = """#!{python} -SE
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
call = json.dumps([{what!r}, sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(server, [call], [0, 1, 2])
answer = server.recv(16)
sys.exit(int(answer) if answer else 70)
"""


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Path]:
    """The folder with `bin`, while a server answers behind it."""
    from tests.conftest import ROOT, tool_environment

    address, log = str(folder / "socket"), folder / "log"
    (folder / "bin").mkdir()
    for name in ("crystaltool", "python", "script"):
        path = folder / "bin" / name
        path.write_text(CLIENT.format(python=os.path.realpath(sys.executable), address=address, what=name))
        path.chmod(0o755)
    log.touch()
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.documents.forked", address, str(log)],
        cwd=ROOT,
        env=tool_environment(),
        stdin=subprocess.PIPE,  # its end is the server's, also where we are killed
        stdout=subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        yield folder
    finally:
        server.terminate()
        server.wait()


def load() -> None:
    """Everything that commands import."""
    import importlib

    from crystaltool.threads import limit_threads

    limit_threads(1)
    for name in HEAVY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    package = importlib.import_module("crystaltool")
    for module in pkgutil.walk_packages(package.__path__, "crystaltool."):
        if not module.name.split(".")[-1].startswith(("build_", "__main__")):
            importlib.import_module(module.name)


def warm() -> None:
    """Run `WARM` in a folder of its own.

    Raises:
        RuntimeError: a thread was left behind: a fork would lose it.
    """
    from crystaltool.cli import main

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for line in WARM:
            main.run([*line.split(), "-q"])
    if len(os.listdir("/proc/self/task")) > 1:
        raise RuntimeError("a warm process has more than one thread")


def serve(address: str, log: str) -> None:
    """Fork a child for every caller, until standard input ends."""
    load()
    warm()
    door = socket.socket(socket.AF_UNIX)
    door.bind(address)
    door.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for children: they answer their callers themselves
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while sys.stdin not in select.select([door, sys.stdin], [], [])[0]:
        caller, _ = door.accept()
        call, streams, _, _ = socket.recv_fds(caller, 2**20, 3)
        if os.fork() == 0:
            door.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            code = answer(json.loads(call), streams)
            with open(log, "a") as file:
                file.write(json.dumps([code, json.loads(call)[1], round(time.process_time(), 1)]) + "\n")
            caller.sendall(str(code).encode())
            os._exit(0)
        for stream in streams:
            os.close(stream)
        caller.close()


def answer(call: list, streams: list[int]) -> int:
    """Run one command, or one script, as a process of its own would; its exit code."""
    what, arguments, folder, environment = call
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path not in sys.path]
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    try:
        if what == "script":
            exec(compile(arguments[0], "script", "exec"), {"__name__": "__main__"})
            code: object = 0
        elif what == "python":  # -m MODULE ARGUMENTS, the only way in which documents call it
            assert arguments[0] == "-m", arguments
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
            code = 0
        else:
            from crystaltool.cli.main import main

            sys.argv = [what, *arguments]
            main()
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException:
        traceback.print_exc()
        code = 70
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    for number in range(3):
        os.close(number)  # whoever reads from us must see the end
    return code if isinstance(code, int) else 70


if __name__ == "__main__":
    serve(*sys.argv[1:])
