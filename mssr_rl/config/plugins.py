"""Import the user's modules, `plugins=[...]`, so that their algorithms and environments exist.

Every process that looks up a name calls `prepare` first. Worker processes do too.
"""

import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from mssr_rl.errors import UserError


def prepare(modules: Iterable[str]) -> None:
    """Import the modules; importing registers what they define.

    Raises UserError if a module does not exist, needs a package that is missing, or fails.
    """
    _make_current_folder_importable()
    for module in modules:
        _import(module)


def _make_current_folder_importable() -> None:
    """Put the current folder on `sys.path`. `python -m` does this; scripts and workers do not."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def _import(module: str) -> None:
    try:
        import_module(module)
    except UserError:
        raise
    except ModuleNotFoundError as error:
        raise UserError(_missing(module, error.name or module)) from error
    except Exception as error:  # a plugin is the user's own code: anything may go wrong in it
        raise UserError(f"plugins=[{module}] failed: {_where(error)}") from error


def _missing(module: str, missing: str) -> str:
    if module == missing or module.startswith(f"{missing}."):
        return (
            f"plugins=[{module}]: no module {missing} in this folder or among the installed "
            "packages; give its import name, without .py"
        )
    return f"plugins=[{module}] imports {missing}, which is not installed"


def _where(error: Exception) -> str:
    trace, last = error.__traceback__, None
    while trace:
        last, trace = trace, trace.tb_next
    place = f" ({last.tb_frame.f_code.co_filename}, line {last.tb_lineno})" if last else ""
    if isinstance(error, SyntaxError):
        place = f" ({error.filename}, line {error.lineno})"
    return f"{type(error).__name__}: {error}{place}"
