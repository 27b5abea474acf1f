"""The console entry: a lazy table of subcommands and the one shim that turns every ending into an exit code.

Nothing heavy is imported here: `crystaltool --help` names the subcommands from the table below and loads none of
them. The shim is needed because typer's own `main` returns 1 on a closed pipe and on Ctrl-C, which is the code that
`check` gives a failed structure.
"""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from crystaltool.cli import messages, signals
from crystaltool.errors import CrystaltoolError
from crystaltool.threads import limit_threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crystaltool.cli.session import Session

PROGRAM = "crystaltool"
EXIT_OK, EXIT_FAILED, EXIT_TROUBLE = 0, 1, 2
EXIT_INTERRUPTED, EXIT_READER_GONE = 130, 141


class Subcommand(NamedTuple):
    """A row of the subcommand table: where `command` lives and the line that the overview shows.

    `one_thread`: it works structure by structure, so its process keeps to one thread.
    """

    module: str
    summary: str
    one_thread: bool = True


SUBCOMMANDS = {
    "asym-unit": Subcommand(
        "crystaltool.cli.asym_unit", "Reduce structures to their asymmetric units, or expand them."
    ),
    "fragment": Subcommand("crystaltool.cli.fragment", "Cut metal-organic frameworks into building blocks."),
    "embed": Subcommand("crystaltool.cli.embed", "Embed building blocks of metal-organic frameworks."),
    "train": Subcommand("crystaltool.cli.train", "Train a model on a prepared HDF5 data set.", one_thread=False),
    "sample": Subcommand("crystaltool.cli.sample", "Sample new structures from a trained model."),
    "assemble": Subcommand(
        "crystaltool.cli.assemble", "Assemble building blocks to metal-organic frameworks with all atoms."
    ),
    "relax": Subcommand("crystaltool.cli.relax", "Relax structures with a force field."),
    "measure": Subcommand("crystaltool.cli.measure", "Measure structures and write what was measured into them."),
    "check": Subcommand("crystaltool.cli.check", "Check structures and print a verdict for each."),
    "view": Subcommand("crystaltool.cli.view", "Filter, sort, list and convert structures."),
    "stats": Subcommand("crystaltool.cli.stats", "Say what a set of structures is like, as text or as a page."),
}


@dataclass
class Run:
    """What the shim knows about the running command: how it was called, and its session once there is one."""

    arguments: list[str] = field(default_factory=list)
    session: Session | None = None

    @property
    def verbose(self) -> bool:
        """Whether tracebacks are wanted."""
        return self.session is not None and self.session.verbose > 0


class OnceCommand(TyperCommand):
    """A subcommand whose options, if they take one value, may be given once: of two values one would be lost.

    An option is no value of another one: `--html --check` has left out the file.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer's, which takes the last of several values without a word."""
        values, _, order = self.make_parser(ctx).parse_args(args=list(args))
        options = [option for option in order if isinstance(option, TyperOption)]
        single = [option for option in options if takes_one_value(option)]
        for option in single:
            if single.count(option) > 1:
                ctx.fail(
                    f"Option {' / '.join((*option.opts, *option.secondary_opts))} is given twice, it takes one value"
                )
        for option in options:
            if wrong := self._option_as_value(option, values.get(option.name or "")):
                ctx.fail(f"Option {' / '.join(option.opts)} needs a value, {wrong}")
        return super().parse_args(ctx, args)

    def _option_as_value(self, option: TyperOption, given: object) -> str:
        """What is wrong with a value that is another option; empty if none is."""
        names = {name for each in self.params for name in (*each.opts, *each.secondary_opts) if name[:1] == "-"}
        for value in given if isinstance(given, (list, tuple)) else (given,):
            if isinstance(value, str) and (value in names or (value.startswith("--") and names_file(option))):
                return f"{value} is an option" + (f"; a file of that name is ./{value}" if names_file(option) else "")
        return ""


FILES = ("FILE", "DIR", "DATA", "TOML", ".h5", "CHECKPOINT")
"""What stands in the help of options that take the name of a file or folder."""


def names_file(option: TyperOption) -> bool:
    """Whether an option takes the name of a file or folder."""
    return any(word in (option.metavar or "") for word in FILES)


def takes_one_value(option: TyperOption) -> bool:
    """Whether a second value would replace the first: no list, no count, no switch that can only be turned on."""
    return not (option.multiple or option.count or (option.is_flag and not option.secondary_opts))


class LazyGroup(TyperGroup):
    """A command group that imports a subcommand's module only when that subcommand runs."""

    def get_help_option(self, ctx: Any) -> Any:
        """As typer's, which would import pydantic to learn that a `--help` that was not given is false."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the subcommands in the order of the work."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the module behind `cmd_name` and wrap its function `command`."""
        if cmd_name not in SUBCOMMANDS:
            return None
        if cmd_name not in self.commands:
            from importlib import import_module

            if SUBCOMMANDS[cmd_name].one_thread:
                limit_threads(1)
            single = typer.Typer(add_completion=False, rich_markup_mode=None)
            single.command(name=cmd_name, cls=OnceCommand)(import_module(SUBCOMMANDS[cmd_name].module).command)
            self.commands[cmd_name] = typer.main.get_command(single)
        return self.commands[cmd_name]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As typer's, which suggests only commands that were loaded before."""
        if args[0] not in SUBCOMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], SUBCOMMANDS)
            ctx.fail(f"No such command {args[0]!r}." + (f" Did you mean {close[0]!r}?" if close else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the overview from the table, without importing the subcommands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, subcommand.summary) for name, subcommand in SUBCOMMANDS.items()])


def _print_version(wanted: bool) -> None:
    if wanted:
        from crystaltool.cli.about import version_text

        typer.echo(version_text())
        raise typer.Exit


def _print_citation(wanted: bool) -> None:
    if wanted:
        from crystaltool.cli.about import CITATION

        typer.echo(CITATION)
        raise typer.Exit


app = typer.Typer(
    name=PROGRAM,
    cls=LazyGroup,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print versions and exit.")
    ] = False,
    citation: Annotated[
        bool, typer.Option("--citation", callback=_print_citation, is_eager=True, help="Print BibTeX and exit.")
    ] = False,
) -> None:
    """Generate, relax and check inorganic crystals and metal-organic frameworks.

    Structures travel as CIF text through pipes: every subcommand reads FILE... or standard input and writes
    standard output or -o FILE. Exit codes: 0 success, 1 a structure failed its check, 2 trouble, 130 interrupted,
    141 the reader went away.
    """


def _command_name(arguments: Sequence[str]) -> str:
    """`crystaltool check` when a known subcommand comes first, else `crystaltool`."""
    return f"{PROGRAM} {arguments[0]}" if arguments and arguments[0] in SUBCOMMANDS else PROGRAM


def run(arguments: Sequence[str]) -> int:
    """Run one command line in this process and return its exit code; messages go to stderr."""
    state = Run(arguments=list(arguments))
    name = _command_name(arguments)
    try:
        root = typer.main.get_command(app)
        with root.make_context(PROGRAM, list(arguments), obj=state) as context:
            root.invoke(context)
        sys.stdout.flush()
        return EXIT_OK
    except typer.Exit as stop:
        return _flushed(stop.exit_code)
    except (KeyboardInterrupt, typer.Abort) as stop:
        messages.say(name, "ERROR", "; ".join(["interrupted", *_notes(stop)]))
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return EXIT_READER_GONE
    except SystemExit as stop:
        if notes := _notes(stop):
            messages.say(name, "ERROR", "; ".join(["terminated", *notes]))
        return stop.code if isinstance(stop.code, int) else EXIT_TROUBLE
    except Exception as error:
        if state.verbose:
            import traceback

            traceback.print_exc()
        _report(name, error)
        return EXIT_TROUBLE
    finally:
        if state.session is not None:
            state.session.close()


def _notes(stop: BaseException) -> list[str]:
    return getattr(stop, "__notes__", [])


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return EXIT_READER_GONE
    except OSError as error:
        messages.say(_command_name(sys.argv[1:]), "ERROR", messages.os_error_text(error))
        return EXIT_TROUBLE
    return code


def _report(name: str, error: Exception) -> None:
    """One line on stderr for an error that ends the run."""
    from typer.exceptions import TyperException

    if isinstance(error, TyperException):  # a usage error: unknown option, bad value, missing argument
        text = " ".join(error.format_message().split()).replace(": Value error, ", ": ", 1)  # pydantic's words
        messages.say(name, "ERROR", f"{text.rstrip('.') or 'missing arguments'} (see '{name} --help')")
    elif isinstance(error, CrystaltoolError):
        messages.say(name, "ERROR", "; ".join([str(error), *_notes(error)]))
    elif isinstance(error, OSError):
        messages.say(name, "ERROR", messages.os_error_text(error))
    elif isinstance(error, MemoryError):
        messages.say(name, "ERROR", "out of memory")
    else:
        text = " ".join(str(error).split())
        messages.say(name, "ERROR", f"internal error, {type(error).__name__}: {text} (-v shows the traceback)")


def main() -> NoReturn:
    """Entry of the console script."""
    signals.install()
    if not sys.warnoptions:  # what libraries warn of is for developers: `python -W default -m crystaltool` shows it
        warnings.simplefilter("ignore")
    if f"_{PROGRAM.upper()}_COMPLETE" in os.environ:  # shell completion: typer answers and exits
        from typer.completion import completion_init

        completion_init()
        app(prog_name=PROGRAM)
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError:
        code = code if code != EXIT_OK else EXIT_READER_GONE
    if code == EXIT_READER_GONE or sys.stdout.closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that the interpreter's own last flush stays silent
    sys.exit(code)


def command_line(arguments: Sequence[str]) -> str:
    """The arguments as one printable ASCII line, for provenance; at most 1,000 characters."""
    line = shlex.join(arguments).encode("ascii", "backslashreplace").decode("ascii")
    line = "".join(character if character.isprintable() else " " for character in line)
    return line if len(line) <= 1000 else line[:997] + "..."
