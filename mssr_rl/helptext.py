"""The text of `--help`: all verbs, one verb, one key, or every key.

Every text has one source. The verbs come from `verbs` and their arguments from the declarations.
Names come from the registries, config keys from the fields of `Config`, values from the recipe.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from itertools import groupby
from typing import Any, NamedTuple

from mssr_rl.config import Config, Selection, keys, registered_names
from mssr_rl.config.compose import load
from mssr_rl.config.words import FILE, OTHERS, Word, declared
from mssr_rl.errors import UserError
from mssr_rl.metric_names import TABLE
from mssr_rl.text_table import aligned
from mssr_rl.typed import closest, describe, show
from mssr_rl.verbs import VERBS, Form

REGISTERED_TITLES = {"algo": "algorithms", "env": "environments"}
CHOOSING = ("algo", "env", "recipe", "plugins")  # arguments that change what help shows


class Key(NamedTuple):
    """One config key, as the help shows it."""

    name: str
    value: Any  # the value that the recipe sets
    kind: Any
    doc: str
    bound: Any


def page(verb: str | None, words: Sequence[str]) -> str:
    """Return the help text for a verb, for the keys in `words`, or for the whole program.

    Arguments such as `algo=NAME` in `words` choose whose options are listed.
    Raises UserError for a key that does not exist.
    """
    topics = [word for word in words if "=" not in word]
    config = load([w for w in words if "=" in w and w.partition("=")[0] in CHOOSING])
    if topics == ["keys"]:
        return _every_key(config)
    if topics:
        return "\n\n".join(_about(topic, config) for topic in topics)
    if verb is not None:
        return _verb(verb, config)
    return _overview() if not words else "\n".join(_options(config))


# ---- the whole program ----


def _overview() -> str:
    lines = ["mssr_rl VERB key=value ...", ""]
    lines += _table({name: verb.says for name, verb in VERBS.items()})
    for group, title in REGISTERED_TITLES.items():
        listed = textwrap.wrap("  ".join(registered_names.registry(group).names()), 96)
        lines += ["", f"{title}, {group}=NAME; what each does: mssr_rl --help {group}"]
        lines += [f"  {line}" for line in listed]
    first = (verb.forms[-1].examples[0] for verb in VERBS.values())
    lines += ["", "examples", *(f"  mssr_rl {next(first)}" for _ in range(3))]
    lines += [
        "",
        "mssr_rl VERB --help     one verb: its arguments and examples",
        "mssr_rl --help KEY      one key, or one metric: what it is and which values it takes",
        "mssr_rl --help keys     every config key",
    ]
    return "\n".join(lines)


# ---- one verb ----


def _verb(name: str, config: Config) -> str:
    verb = VERBS[name]
    lines = [f"mssr_rl {name}: {verb.says}"]
    for form in verb.forms:
        known = declared(form.declaration())
        lines += ["", f"{_usage(name, known)}    {form.says}"]
        lines += _table({_typed(word): word.doc for word in known if not word.needed})
        lines += [f"  mssr_rl {example}" for example in form.examples]
        lines += _of_runs(form, config)
    lines += ["", "mssr_rl --help KEY explains one key"]
    return "\n".join(lines)


def _usage(verb: str, known: Sequence[Word]) -> str:
    needed = [w.label for w in known if w.needed]
    rest = ["[key=value ...]"] if any(not word.needed for word in known) else []
    return " ".join(["mssr_rl", verb, *needed, *rest])


def _typed(word: Word) -> str:
    if word.role == OTHERS:
        return "key=value"
    return f"{word.name}=..." if word.role else f"{word.name}={show(word.default)}"


def _of_runs(form: Form, config: Config) -> list[str]:
    """Return lines with the config keys that users of this form set most often."""
    if not form.everyday:
        return []
    chosen = {"algo": config.algo.name, "env": config.env.name, "recipe": config.recipe}
    chosen |= {"model": config.model.path, "engine": config.engine.name}
    every = {key.name: key for key in _keys(config)}
    rows = {}
    for name in form.everyday:
        if name in chosen:
            rows[f"{name}={chosen[name]}"] = _groups(name)
        elif name in every:
            rows[f"{name}={show(every[name].value)}"] = every[name].doc
    rest = len(every) - len(form.everyday)
    return [
        *("", f"config keys most often set, with the values of recipe={config.recipe}"),
        *_table(rows),
        f"  and {rest} more: mssr_rl --help keys",
    ]


def _groups(name: str) -> str:
    """Return the choices of a group such as recipe=, in one line."""
    if name in keys.FILES:
        return f"one of {', '.join(keys.choices(name))}"
    return f"a name from mssr_rl --help; its own options: mssr_rl --help {name}=NAME"


# ---- one key ----


def _about(topic: str, config: Config) -> str:
    topic = topic.lstrip("-").replace("-", "_")
    entries = [*_among_words(topic), *_among_keys(topic, config), *_among_options(topic)]
    entries += _among_metrics(topic)
    if topic in REGISTERED_TITLES:
        known_names = registered_names.registry(topic)
        about = {name: known_names.about(name) for name in known_names.names()}
        entries.append("\n".join([f"{REGISTERED_TITLES[topic]}, {topic}=NAME", *_table(about)]))
    elif topic in keys.GROUPS:
        entries.append(f"{topic}={_groups(topic)}")
    if not entries:
        known = [key.name for key in _keys(config)] + [w.name for _, w in _all_words()]
        known += TABLE
        close = keys.from_habit(topic) or closest(topic, known)
        advice = f"did you mean {close}?" if close else "mssr_rl --help keys lists them all"
        raise UserError(f"no key {topic}; {advice}")
    return "\n".join(entries)


def _all_words() -> Iterator[tuple[str, Word]]:
    for verb, about in VERBS.items():
        for form in about.forms:
            yield from ((verb, w) for w in declared(form.declaration()) if w.role in (None, FILE))


def _among_words(topic: str) -> Iterator[str]:
    for verb, word in _all_words():
        if word.name == topic:
            default = "" if word.default is MISSING else f", by default {show(word.default)}"
            yield f"{verb} {word.name}: {word.doc}\n  {_values(word.kind, word.bound)}{default}"


def _among_keys(topic: str, config: Config) -> Iterator[str]:
    for key in _keys(config):
        if key.name in (topic, keys.from_habit(topic)):
            yield (
                f"{key.name}: {key.doc}\n  {_values(key.kind, key.bound)}, "
                f"{show(key.value)} in recipe={config.recipe}"
            )


def _among_options(topic: str) -> Iterator[str]:
    group, dot, option = topic.partition(".")
    if not dot or group not in keys.REGISTERED:
        return
    for name in registered_names.registry(group).names():
        entry = registered_names.options(group, name).get(option)
        if entry:
            takes = f"{describe(entry.annotation)}, by default {show(entry.default)}"
            yield f"{topic} of {group}={name}: {entry.doc}\n  {takes}"


def _among_metrics(topic: str) -> Iterator[str]:
    if topic in TABLE:
        metric = TABLE[topic]
        yield f"{topic}: {metric.meaning}\n  in {metric.file}, {metric.unit}"


def _values(kind: Any, bound: Any) -> str:
    return f"{describe(kind)}, {bound.says}" if bound else describe(kind)


# ---- every key ----


def _every_key(config: Config) -> str:
    lines = _options(config)
    every = groupby(_keys(config), lambda key: key.name.rpartition(".")[0])
    for section, members in every:
        lines += ["", f"{section}." if section else "the run as a whole"]
        lines += _table({f"{key.name}={show(key.value)}": key.doc for key in members})
    return "\n".join(lines)


def _options(config: Config) -> list[str]:
    """Return lines with the options of the chosen algorithm and environment."""
    lines = []
    for group, choice in (("algo", config.algo), ("env", config.env)):
        rows = {
            f"{group}.{option}={show(choice.options[option])}": entry.doc
            for option, entry in registered_names.options(group, choice.name).items()
        }
        lines += [f"options of {group}={choice.name}", *_table(rows), ""]
    return lines[:-1]


def _keys(section: Any, path: str = "") -> Iterator[Key]:
    for field in fields(section):
        value, name = getattr(section, field.name), f"{path}{field.name}"
        if isinstance(value, Selection):
            continue
        if is_dataclass(value):
            yield from _keys(value, f"{name}.")
        else:
            kind = keys.fixed_kinds()[name]
            yield Key(name, value, kind, field.metadata["doc"], field.metadata.get("bound"))


def _table(rows: Mapping[str, str]) -> list[str]:
    return aligned(list(rows.items()), indent="  ")
