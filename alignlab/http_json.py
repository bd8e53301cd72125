"""JSON asked of a server over HTTP: an answer within the time-out, or an error that says what came in its place."""

import json
import os
import random
import time
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from alignlab.errors import ConfigError, RunError

BUSY = (408, 429, 500, 502, 503, 504)
"""The answers of a server that may be another one a little later."""
SHOWN = 300
"""The characters of an answer that an error shows."""
CHUNK = 2**16
PAUSE = 0.25
"""Seconds before the second try; each later pause is twice as long."""
_chance = random.SystemRandom()
"""Pauses differ a little, so that those who were refused together do not come back together."""


class Endpoint:
    """A server at an address; `timeout` is the seconds of a request with all its tries.

    A server that cannot be reached, has too much to do (429) or fails (5xx) is asked up to `retries` times more, after
    pauses. `key_env` names the environment variable that holds the key of the server. Raises ConfigError for an address
    that is none, or a variable that is not set.
    """

    def __init__(self, url: str, *, timeout: float, retries: int = 0, key_env: str | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"{url} is no address of a server: expected one as http://127.0.0.1:8000")
        self.url, self.timeout, self.retries = url.rstrip("/").removesuffix("/v1"), timeout, retries
        self.headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key_env is not None:
            if not os.environ.get(key_env):
                raise ConfigError(
                    f"the environment variable {key_env} is not set: it has to hold the key of {url}"
                )
            self.headers["Authorization"] = f"Bearer {os.environ[key_env]}"

    def get(self, path: str) -> Any:
        """Return what the server answers to GET; raises RunError where that is no JSON, or nothing in time."""
        return self._asked(Request(self.url + path, headers=self.headers))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return what the server answers to POST; raises RunError where that is no JSON, or nothing in time."""
        data = json.dumps(body).encode()
        return self._asked(Request(self.url + path, data=data, headers=self.headers, method="POST"))

    def _asked(self, request: Request) -> Any:
        until = time.monotonic() + self.timeout
        for attempt in range(self.retries + 1):
            trouble, pause = "", PAUSE * 2**attempt * _chance.uniform(1, 1.5)
            try:
                return self._json(request, until)
            except HTTPError as error:
                with error:
                    trouble = f"status {error.code}: {_said(error)}"
                if error.code not in BUSY:
                    raise RunError(f"{request.full_url} answered with {trouble}") from None
                pause = max(pause, _wished(error))
            except TimeoutError:
                raise RunError(self._late(request)) from None
            except (URLError, HTTPException, OSError) as error:
                reason = getattr(error, "reason", error)
                if isinstance(reason, TimeoutError):
                    raise RunError(self._late(request)) from None
                trouble = f"no connection ({reason})"
            if attempt == self.retries or time.monotonic() + pause >= until:
                break
            time.sleep(pause)
        raise RunError(f"{request.full_url}, asked {attempt + 1} times, answered with {trouble}")

    def _json(self, request: Request, until: float) -> Any:
        """The answer as JSON; raises TimeoutError where it is not whole in time."""
        parts: list[bytes] = []
        with urlopen(request, timeout=max(until - time.monotonic(), 0.001)) as answer:
            while part := answer.read1(CHUNK):
                parts.append(part)
                if time.monotonic() > until:
                    raise TimeoutError
        text = b"".join(parts)
        try:
            return json.loads(text) if text else None
        except ValueError:
            shown = text[:SHOWN].decode(errors="replace")
            raise RunError(f"{request.full_url} answered with something else than JSON: {shown!r}") from None

    def _late(self, request: Request) -> str:
        return (
            f"{request.full_url} did not answer within {self.timeout:g} seconds: see whether the server is alive, or "
            "give it more time by timeout"
        )


def _said(error: HTTPError) -> str:
    """What a server says of an error: its message, where it has the form of one."""
    text = error.read(2**16).decode(errors="replace")
    try:
        found = json.loads(text)
    except ValueError:
        return text[:SHOWN].strip() or str(error.reason)
    if isinstance(found, dict):
        found = found.get("error", found.get("detail", found))
        found = found.get("message", found) if isinstance(found, dict) else found
    return str(found)[:SHOWN]


def _wished(error: HTTPError) -> float:
    """The seconds after which a server wants to be asked again; 0 where it does not say."""
    try:
        return max(0.0, float(error.headers.get("Retry-After", 0)))
    except ValueError:
        return 0.0
