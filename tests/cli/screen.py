"""Commands on a pseudo-terminal, and what a person sees of what they write."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

from tests.conftest import tool_environment

STAGES = ("first", "second", "third")

TOOL = (
    "from crystaltool.cli import main\n"
    f"for name in {STAGES}:\n"
    "    main.SUBCOMMANDS[name] = main.Subcommand('tests.cli.echo_command', 'Copies blocks.')\n"
    "main.main()\n"
)
"""The tool with three stages of the tests beside its own subcommands."""

CONTROL = re.compile(r"\x1b\[(\??\d*(?:;\d+)*)([A-Za-z])")


def on_terminal(line: str, folder: Path, columns: int = 80, timeout: float = 120) -> tuple[str, int]:
    """Run a line of shell with standard output and error on a terminal; `tool` is the tool. Returns text and status."""
    (folder / "tool.py").write_text(TOOL)
    environment = tool_environment(TERM="xterm", XDG_RUNTIME_DIR=str(folder))
    del environment["COLUMNS"]
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    script = f'tool() {{ "{sys.executable}" "{folder}/tool.py" "$@"; }}\n{line}'
    child = subprocess.Popen(
        ["bash", "-c", script], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, cwd=folder, env=environment
    )
    os.close(slave)
    written = bytearray()
    try:
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # how Linux says that nobody has the other end any more
                break
            if not part:
                break
            written += part
        return written.decode(), child.wait(timeout)
    finally:
        child.kill()
        os.close(master)


def drawn_by(written: str) -> list[str]:
    """The stages whose lines of progress were drawn, each time that another one draws."""
    found = re.findall(r"crystaltool ([a-z-]+) (?:\x1b\[[0-9;]*m)*━", written)
    return [name for i, name in enumerate(found) if i == 0 or found[i - 1] != name]


def screen(written: str) -> list[str]:
    """The lines that stand on a terminal of endless height in the end; what is longer than a line goes on."""
    lines, row, column, at = [""], 0, 0, 0
    while at < len(written):
        control = CONTROL.match(written, at)
        if control:
            at = control.end()
            if control[2] == "K":
                lines[row] = ""
            elif control[2] == "A":
                row = max(0, row - int(control[1] or 1))
            continue
        character = written[at]
        at += 1
        if character == "\r":
            column = 0
        elif character == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        else:
            line = lines[row].ljust(column)
            lines[row] = line[:column] + character + line[column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]
