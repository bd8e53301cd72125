"""Tests whether the model and data hub is reachable, before anything waits for it."""

import os
import socket
from pathlib import Path
from urllib.parse import urlparse

PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def endpoint() -> str:
    """The address of the hub: `HF_ENDPOINT`, or the public one."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co")


def connects(url: str, timeout: float = 3.0) -> bool:
    """Whether a connection to the host of `url` opens within `timeout` seconds.

    Behind a proxy this cannot be tested, and the result is true.
    """
    if any(os.environ.get(name) for name in PROXIES):
        return True
    parts = urlparse(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=timeout).close()
    except OSError:
        return False
    return True


def reachable() -> bool:
    """Whether the hub is reachable; false where `HF_HUB_OFFLINE` is set."""
    return os.environ.get("HF_HUB_OFFLINE", "0") in ("0", "") and connects(endpoint())


def is_id(path: str) -> bool:
    """Whether a path names a model of the hub: it is no folder here, and does not look like one.

    >>> is_id("gpt2"), is_id("someone/model"), is_id("./model"), is_id("/my/model"), is_id("runs/dpo/model")
    (True, True, False, False, False)
    """
    folder = Path(path).expanduser()
    return not path.startswith((".", "/", "~")) and path.count("/") < 2 and not folder.exists()
