"""Completion of verbs, keys and values in the shell: `python -m mssr_rl completion bash`.

The printed script holds all words, so that a press of the tab key starts no Python. The words come
from the same declarations as `--help`: the verbs' arguments, the config keys and the registered
names. After an upgrade, print it again.

    source <(mssr_rl completion bash)      in ~/.bashrc
    source <(mssr_rl completion zsh)       in ~/.zshrc, after compinit
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from mssr_rl.config import keys, registered_names
from mssr_rl.config.words import FILE, OTHERS, declared, file_name, parse_words
from mssr_rl.typed import alternatives, show
from mssr_rl.verbs import VERBS


@dataclass(frozen=True, kw_only=True)
class CompletionWords:
    """The arguments of `completion`."""

    shell: Literal["bash", "zsh"] = file_name("the shell that the script is for: bash or zsh")


def print_script(arguments: Sequence[str]) -> str:
    """Return the completion script of a shell."""
    words = parse_words(CompletionWords, arguments)
    script = _BODY.replace("@VERBS@", " ".join(VERBS))
    script = script.replace("@KEYS@", _cases({verb: keys_of(verb) for verb in VERBS}, "words"))
    script = script.replace("@VALUES@", _cases(values(), "values"))
    # zsh runs bash's function as it is, once words are split and counted the same way.
    opening = "autoload -U +X bashcompinit && bashcompinit\n" * (words.shell == "zsh")
    return f"{opening}{script}"


def keys_of(verb: str) -> list[str]:
    """Return the words that may follow a verb: `key=`, switches such as `--plan`, and choices."""
    offered: dict[str, None] = {}
    for form in VERBS[verb].forms:
        for word in declared(form.declaration()):
            if word.role == FILE:
                offered |= dict.fromkeys(_fixed_values(word.kind))
            elif word.role == OTHERS:
                offered |= dict.fromkeys(f"{key}=" for key in _config_keys())
            elif word.role:
                offered |= dict.fromkeys(f"{key}=" for key in _options(word.role.rstrip(".")))
            else:
                offered[f"{word.name}="] = None
                offered |= {f"--{word.name}": None} if word.kind is bool else {}
    return list(offered)


def values() -> dict[str, list[str]]:
    """Return {key: its values} of all keys that allow only a few fixed values."""
    offered = {group: list(registered_names.registry(group).names()) for group in keys.REGISTERED}
    offered |= {group: keys.choices(group) for group in keys.FILES}
    kinds: dict[str, Any] = dict(keys.fixed_kinds())
    for about in VERBS.values():
        for form in about.forms:
            kinds |= {w.name: w.kind for w in declared(form.declaration()) if w.role is None}
    for group in keys.REGISTERED:
        for name in registered_names.registry(group).names():
            options = registered_names.options(group, name)
            kinds |= {f"{group}.{key}": option.annotation for key, option in options.items()}
    for key, kind in kinds.items():
        fixed = _fixed_values(kind)
        if fixed and key not in offered:
            offered[key] = fixed
    return offered


def _config_keys() -> Iterator[str]:
    yield from keys.GROUPS
    yield from keys.fixed_kinds()
    for group in keys.REGISTERED:
        yield from _options(group)


def _options(group: str) -> Iterator[str]:
    for name in registered_names.registry(group).names():
        yield from (f"{group}.{option}" for option in registered_names.options(group, name))


def _fixed_values(kind: Any) -> list[str]:
    """Return the values of a type that has only a few: a Literal, or true and false; else []."""
    fixed: list[str] = []
    for one in alternatives(kind):
        if one is bool:
            fixed += ["true", "false"]
        elif get_origin(one) is Literal:
            fixed += [show(value) for value in get_args(one)]
    return fixed


def _cases(offered: Mapping[str, Sequence[str]], variable: str) -> str:
    return "\n".join(
        f'        {name}) {variable}="{" ".join(some)}" ;;' for name, some in offered.items()
    )


# A value may be a list: after a comma the next item is completed. bash ends a word at `=`, so what
# stands before it is taken off the answers there.
_BODY = """_mssr_rl() {
    [ -n "$ZSH_VERSION" ] && emulate -L ksh
    local line word verb words values key before
    line="${COMP_LINE:0:COMP_POINT}"
    word="${line##* }"
    verb=""
    for key in $line; do
        case " @VERBS@ " in *" $key "*) verb="$key"; break ;; esac
    done
    COMPREPLY=()
    if [ -z "$verb" ] || [ "$verb" = "$word" ]; then
        COMPREPLY=( $(compgen -W "@VERBS@ --help --version" -- "$word") )
        return
    fi
    if [ "${word#*=}" != "$word" ]; then
        key="${word%%=*}" values=""
        case "$key" in
@VALUES@
        esac
        word="${word#*=}" before=""
        [ "${word%,*}" != "$word" ] && before="${word%,*}," && word="${word##*,}"
        case "$COMP_WORDBREAKS" in *=*) ;; *) before="$key=$before" ;; esac
        COMPREPLY=( $(compgen -P "$before" -W "$values" -- "$word") )
        [ -n "$values" ] || COMPREPLY=( $(compgen -P "$before" -f -- "$word") )
        return
    fi
    case "$verb" in
@KEYS@
    esac
    COMPREPLY=( $(compgen -W "$words --help" -- "$word") $(compgen -f -- "$word") )
    case "${COMPREPLY[0]}" in *=) compopt -o nospace 2>/dev/null ;; esac
}
complete -F _mssr_rl mssr_rl
"""
