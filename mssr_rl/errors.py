"""The errors that end a command early; each has a message for the person who typed it.

The command line maps them to exit codes: `UserError` 2, `RunFailed` 1, `Collapsed` 3. Any other
exception is a bug of this program and keeps its traceback.
"""


class UserError(Exception):
    """The config, the data or the usage is wrong; the message says what, why and what to do."""


class RunFailed(Exception):
    """A run that started could not continue; the message says what was saved."""


class EngineLost(RunFailed):
    """A process of the engine died; the run can continue from its newest checkpoint."""


class Collapsed(RunFailed):
    """Training stopped, or ended, because the policy collapsed."""


class NotFinite(Collapsed):
    """A step had NaN or infinity in its numbers; it was not recorded."""
