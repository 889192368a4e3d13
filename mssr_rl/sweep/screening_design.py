"""A screening design: few combinations of two values for each of many keys (`design=screening`).

It is a fractional factorial design of resolution IV: each main effect can be estimated apart from
all other main effects and from all effects of two keys together, but those effects of two keys
cannot be separated from each other. It is a Hadamard matrix and its negative (Box and Wilson's
fold-over), from scipy. Two keys need 4 combinations, up to four 8, up to eight 16, and up to
sixteen 32.
"""

from collections.abc import Mapping, Sequence

from mssr_rl.errors import UserError


def screening(values: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Return the combinations, each as {key: value}; `values` is {key: its low and high value}.

    Raises:
        UserError: fewer than two keys have several values, or a key has more than two.
    """
    if len(values) < 2:
        raise UserError("design=screening needs at least two keys with two values each")
    for key, some in values.items():
        if len(some) != 2:
            raise UserError(
                f"design=screening takes two values of a key, but {key}={','.join(some)} has "
                f"{len(some)}: name the lowest and the highest"
            )
    from scipy.linalg import hadamard

    half = hadamard(1 << (len(values) - 1).bit_length())
    signs = [*half.tolist(), *(-half).tolist()]
    return [
        {key: some[sign > 0] for (key, some), sign in zip(values.items(), row, strict=False)}
        for row in signs
    ]
