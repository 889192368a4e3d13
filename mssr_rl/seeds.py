"""Where every random number of a run comes from: one seed and the name of its purpose.

    torch.Generator().manual_seed(derive(config.seed, "rollout", step))

Seeds are derived, not drawn, so no generator state has to be kept: step 57 of a resumed run
draws what step 57 of an undisturbed run draws.
"""

import hashlib


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed that depends on all arguments, the same in every process and version."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1
