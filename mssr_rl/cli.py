"""The command line: a verb, `key=value` arguments, and an exit code.

The arguments of a verb are declared beside it (`verbs`, `config.words`). This module only gives
them one form: `--seed 3`, `--seed=3` and `seed=3` mean the same. A verb's modules are imported
after the verb is known, so that a typo is reported within a second. Data go to stdout, messages to
stderr.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

from mssr_rl import __version__, outward, stdio
from mssr_rl.errors import Collapsed, RunFailed, UserError
from mssr_rl.run.interrupt import Interrupted
from mssr_rl.verbs import VERBS, form_of

# OpenMP reads this when torch is loaded. If waiting threads spin, two threads on a busy machine are
# twenty times slower than one; docs/speed.md has the figures.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# torch reads this at its first allocation: large tensors then use huge pages. On machines with slow
# page allocation a step took a fifth less time; docs/speed.md has the figures.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

DONE, FAILED, USAGE, COLLAPSED, INTERRUPTED = 0, 1, 2, 3, 130

SHOWING = ("plan=", "cfg=")  # with these a verb prints what it would do, and writes no files


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return exit code 0, 1 (failed), 2 (usage), 3 (collapsed) or 130."""
    try:
        return _dispatch(list(sys.argv[1:] if arguments is None else arguments))
    except UserError as error:
        return _complain(error, USAGE)
    except Collapsed as error:
        return _complain(error, COLLAPSED)
    except Interrupted as stop:
        return _complain(stop, stop.exit_code)  # before KeyboardInterrupt, of which it is one
    except RunFailed as error:
        return _complain(error, FAILED)
    except KeyboardInterrupt:
        return _complain(KeyboardInterrupt("ended by Ctrl-C"), INTERRUPTED)


def script(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `main` as the `mssr_rl` command of the installed package, and exit with its code."""
    stdio.secure()
    code = main(arguments)
    sys.stdout.flush()  # here and not when Python ends, which would complain of a lost reader
    raise SystemExit(code)


def _dispatch(arguments: list[str]) -> int:
    if "--version" in arguments:
        return _say(f"mssr_rl {__version__}")
    verb = next((word for word in arguments if word in VERBS), None)
    if not arguments or {"-h", "--help"} & set(arguments):
        return _say(_help(verb, arguments))
    if verb is None:
        raise UserError(_unknown_verb(arguments[0]))
    arguments.remove(verb)
    words = list(without_dashes(verb, arguments))
    if VERBS[verb].keeps and not any(word.startswith(SHOWING) for word in words):
        stdio.output_is_not_all()
    made = form_of(verb, words).main()(words)
    if isinstance(made, str):
        return _say(made)
    return made or DONE


def _help(verb: str | None, arguments: Sequence[str]) -> str:
    from mssr_rl import helptext

    words = [word for word in arguments if word not in ("-h", "--help")]
    if verb is not None:
        words.remove(verb)  # once: `train --help resume` asks about a key
    return helptext.page(verb, words)


def without_dashes(verb: str, arguments: Sequence[str]) -> Iterator[str]:
    """Yield every argument as `key=value`, without dashes.

    `--seed 3` and `--seed=3` become `seed=3`, and a switch such as `--race` becomes `race=true`.
    """
    from mssr_rl.verbs import switches

    yes_or_no, rest = switches(verb), iter(arguments)
    for word in rest:
        if not word.startswith("--") or word == "--":
            yield word
            continue
        key, equals, value = word[2:].partition("=")
        key = key.replace("-", "_")
        if equals:
            yield f"{key}={value}"
        elif key in yes_or_no:
            yield f"{key}=true"
        else:
            yield f"{key}={next(rest, 'true')}"


def _unknown_verb(word: str) -> str:
    from mssr_rl.typed import closest

    if "=" in word or word.startswith("-"):
        return f"name a verb before {word}: {', '.join(VERBS)}; e.g. train {word}"
    close = closest(word, VERBS)
    advice = f"did you mean {close}?" if close else f"choose from {', '.join(VERBS)}"
    return f"no verb {word!r}; {advice}"


def _say(text: str) -> int:
    sys.stdout.write(f"{outward.plain(text)}\n")
    return DONE


def _complain(error: BaseException, code: int) -> int:
    sys.stderr.write(f"mssr_rl: {outward.plain(str(error))}\n")
    return code
