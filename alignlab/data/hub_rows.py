"""Raw rows of a dataset on the hub."""

from collections.abc import Iterator, Mapping
from typing import Any

from alignlab import hub
from alignlab.data.files import Raw
from alignlab.data.rows import Origin
from alignlab.errors import DataError


def rows(where: Mapping[str, Any], split: str) -> Iterator[Raw]:
    """Rows of `where.splits[split]`; DataError, within seconds, where hub and its cache have none."""
    import datasets

    name = where["splits"][split]
    online = hub.reachable()
    was_offline, datasets.config.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE, not online
    try:
        table = datasets.load_dataset(where["path"], revision=where["revision"], split=name)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = f"{hub.endpoint()} cannot be reached" if not online else str(error).partition("\n")[0]
        raise DataError(
            f"dataset '{where['path']}' (split {name}) is not to be had: {reason}. Pass a local copy of the same "
            "schema: data.path=/my/folder"
        ) from error
    finally:
        datasets.config.HF_HUB_OFFLINE = was_offline
    for number, row in enumerate(table, start=1):
        yield Origin(where["path"], number), row
