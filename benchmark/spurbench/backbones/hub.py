"""Weights from the Hugging Face hub or a URL: what is on this machine, and fetching what is not."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import WeightsError


def find_on_hub(repository: str, names: Sequence[str], *, fetch: bool) -> Path:
    """The first of `names` that the repository has, from the local hub cache or, if `fetch`, downloaded.

    Raises:
        WeightsError: none of them is here and none could be fetched.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
    )

    for name in names:
        try:
            cached = try_to_load_from_cache(repository, name)
        except HFValidationError as error:
            raise WeightsError(f"'{repository}' cannot be a hub repository: {_first_line(error)}") from error
        if isinstance(cached, str):
            return Path(cached)
    reason = "not fetched yet"
    if fetch and HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE forbids fetching"
    elif fetch:
        for name in names:
            try:
                # Asked first, because a download retries for half a minute where nobody answers.
                get_hf_file_metadata(hf_hub_url(repository, name))
                return Path(hf_hub_download(repository, name))
            except EntryNotFoundError:
                reason = "the repository has no such file"
            except RepositoryNotFoundError:
                reason = "the hub has no such repository, or it is private"
                break
            except HfHubHTTPError as error:
                reason = f"{type(error).__name__}: {_first_line(error)}"
                break
            except Exception as error:
                reason = f"the hub cannot be reached ({type(error).__name__}: {_first_line(error)})"
                break
    raise WeightsError(
        f"{' or '.join(names)} of hub repository {repository} is not in the cache {HF_HUB_CACHE}: {reason}"
    )


def find_at_url(url: str, folder: Path, *, fetch: bool) -> Path:
    """The file that a URL names, from `folder` or, if `fetch`, downloaded there.

    Where the URL holds the content's sha256, as most do, a download is checked against it.

    Raises:
        WeightsError: the file is not here and was not fetched, or what was fetched is something else.
    """
    path = folder / os.path.basename(url)  # noqa: PTH119 - a URL, not a path
    if path.is_file():
        return path
    reason = "not fetched yet"
    if fetch:
        import torch.hub

        try:
            folder.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=_hash_in(url), progress=False)
        except Exception as error:
            reason = f"{url} cannot be fetched ({type(error).__name__}: {_first_line(error)})"
        else:
            return path
    raise WeightsError(f"{path.name} is not in {folder}: {reason}")


def _hash_in(url: str) -> str | None:
    """The sha256, or how it starts, that a URL names: `.../<64 digits>/RN50.pt` or `.../resnet50-0676ba61.pth`."""
    found = re.search(r"/([0-9a-f]{64})/[^/]+$", url) or re.search(r"-([0-9a-f]{8,64})\.[a-z]+$", url)
    return found[1] if found else None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
