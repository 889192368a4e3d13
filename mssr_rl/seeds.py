"""Derives the seed of every random generator from the seed of the run and the name of a purpose.

    torch.Generator().manual_seed(derive(config.seed, "rollout", step))

No generator state must be saved: step 57 of a resumed run draws the same numbers as step 57 of a
run without interruption.
"""

import hashlib


def derive(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed from all arguments; it is the same in every process and version."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1
