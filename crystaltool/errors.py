"""Everything that can go wrong, one sentence each, with the numbers in it.

A `CrystaltoolError` is the user's to mend (bad file, bad option, bad checkpoint): the command line prints it as
one line and exits 2. Anything else is a bug of ours and shows a traceback under `-v`.
"""


class CrystaltoolError(Exception):
    """Base of all expected errors; `str(error)` is one line that says what was expected and what was found."""


class InputError(CrystaltoolError):
    """A record or file that cannot be read as what it should be (CIF, HDF5, CSV, archive)."""


class UnreadableError(InputError):
    """The text of one block that cannot be read as a structure; what is wrong with a structure is another error."""


class RefusedError(InputError):
    """A structure that a verb cannot use.

    Args:
        reason: a short name for tables. message: one line for the user.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.reason, str(self))


class SymmetryError(CrystaltoolError):
    """A space group, Wyckoff position or operation list that does not exist or contradicts the structure."""


class CheckpointError(CrystaltoolError):
    """Weights or training state that are missing, damaged, of another kind or of another format version."""


class MissingExtraError(CrystaltoolError):
    """An optional dependency is not installed; the message holds the line that installs it."""


class UsageError(CrystaltoolError):
    """Options that contradict each other or lie outside their range."""


class StoppedError(CrystaltoolError):
    """What the run stands on went away (a scheduler, a pool): what it has written is good, and it may go on later."""
