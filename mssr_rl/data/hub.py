"""Read data sets from the Hugging Face hub. `sources` uses this only for a named hub data set.

Without a network, the library's own cache is used (HF_HOME). If the data set is not in the cache,
UserError is raised at once, not after half a minute of retries.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlparse

from mssr_rl.data import sources
from mssr_rl.data.table_files import Row
from mssr_rl.errors import UserError

_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def hub_source(data: str, split: str) -> sources.Source:
    """Return the source of a split of the hub data set `owner/name`; pictures are not decoded."""
    loaded = _loaded(data, None)
    stored = sources.our_names(loaded)
    ours, holds_out = sources.choose_split(data, split, stored)
    return sources.Source(data, ours, holds_out, None, lambda: dataset_rows(loaded[stored[ours]]))


def named_source(
    data: str, names: tuple[str, tuple[str, ...]], config: str | None
) -> sources.Source:
    """Return the source of a split; `names` is (our name, names that the data set may use)."""
    split, theirs = names
    loaded = _loaded(data, config)
    stored = next((name for name in theirs if name in loaded), None)
    if stored is None:
        raise UserError(f"{data} has no split {' or '.join(theirs)}; found {', '.join(loaded)}")
    return sources.Source(data, split, False, None, lambda: dataset_rows(loaded[stored]))


def _loaded(data: str, config: str | None) -> Any:
    import datasets

    try:
        with _cache_only_if_unreachable():
            return datasets.load_dataset(data, config)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise UserError(
            f"there is no file or folder {data} here, and the hub's data set of that name cannot be"
            f" loaded ({_reason(error)}): connect or set HF_HOME to a cache that holds it,"
            " or use env.data=mini or a local folder"
        ) from error


def dataset_rows(dataset: Any) -> Iterator[Row]:
    """Yield the rows of a `datasets.Dataset`; pictures are dicts with bytes and are not decoded."""
    for table in dataset.with_format("arrow").iter(batch_size=128):
        yield from table.to_pylist()


@contextmanager
def _cache_only_if_unreachable() -> Iterator[None]:
    import datasets
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    if not _reachable(constants.ENDPOINT):
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _reachable(address: str) -> bool:
    """Return whether the name of the host can be resolved.

    With a proxy this is always True, because the proxy resolves the name.
    """
    if any(os.environ.get(name) for name in _PROXIES):
        return True
    try:
        return bool(socket.getaddrinfo(urlparse(address).hostname, None))
    except OSError:
        return False


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")[:160]
