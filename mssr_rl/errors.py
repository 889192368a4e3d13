"""The errors that end a command early; each has a message for the person who typed it.

The command line maps them to exit codes: `UserError` 2, `RunFailed` 1, `Collapsed` 3. Any other
exception is a bug of this program and keeps its traceback.
"""


class UserError(Exception):
    """Raised if the config, the data or the usage is wrong; says what, why and what to do."""


class RunFailed(Exception):
    """Raised if a run that started could not continue; says what was saved."""


class EngineLost(RunFailed):
    """Raised if a process of the engine died; the run can continue from its newest checkpoint."""


class Collapsed(RunFailed):
    """Raised if training stopped, or ended, because the policy collapsed."""


class NotFinite(Collapsed):
    """Raised if the numbers of a step held NaN or infinity; the step was not recorded."""
