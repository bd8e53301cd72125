"""Reads the raw rows of a dataset on the hub."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from alignlab import hub
from alignlab.data.reading.data_files import is_data_file
from alignlab.data.reading.files import read
from alignlab.data.reading.raw import Raw
from alignlab.data.reading.rows import Origin
from alignlab.errors import DataError


def table(where: Mapping[str, Any], name: str) -> Any:
    """Load the split `name` of the dataset `where.path`, or the path of a local copy where that names a data file.

    Raises DataError, within seconds, where neither the hub nor its cache has it.
    """
    import datasets
    from huggingface_hub import hf_hub_download

    revision, online = where["revision"], hub.reachable()
    was_offline, datasets.config.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE, not online
    try:
        if is_data_file(name):
            copy = hf_hub_download(
                where["path"], name, repo_type="dataset", revision=revision, local_files_only=not online
            )
            return Path(copy)
        return datasets.load_dataset(where["path"], revision=revision, split=name)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = f"{hub.endpoint()} cannot be reached" if not online else str(error).partition("\n")[0]
        raise DataError(
            f"dataset '{where['path']}' (split {name}) is not to be had: {reason}. Pass a local copy of the same "
            "schema: data.path=/my/folder"
        ) from error
    finally:
        datasets.config.HF_HUB_OFFLINE = was_offline


def version(dataset: Any) -> str:
    """A text that identifies the rows of a dataset, or of a file in the hub's cache."""
    return str(dataset.resolve()) if isinstance(dataset, Path) else str(dataset._fingerprint)


def rows(dataset: Any, name: str) -> Iterator[Raw]:
    """The raw rows of a dataset; their origins are `name` and the row number, from 1."""
    if isinstance(dataset, Path):
        for origin, row in read([dataset]):
            yield Origin(name, origin.row), row
        return
    for number, row in enumerate(dataset, start=1):
        yield Origin(name, number), row
