"""The three ways a command can end early; every one carries a sentence for the person who typed it.

The command line maps them to exit codes: `UserError` 2, `RunFailed` 1, `Collapsed` 3. Anything
else that escapes is a bug of ours and keeps its traceback.
"""


class UserError(Exception):
    """The config, the data or the usage is wrong; the message says what, why and the way out."""


class RunFailed(Exception):
    """A run that started could not go on; the message says what was saved."""


class Collapsed(RunFailed):
    """Training stopped, or ended, because the policy collapsed."""


class NotFinite(Collapsed):
    """A step whose numbers are no numbers; it was not recorded."""
