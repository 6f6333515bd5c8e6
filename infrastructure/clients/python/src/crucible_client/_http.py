"""What both clients share: where the server is, what one call is, and when it is repeated."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import httpx

from . import errors

T = TypeVar("T")

DEFAULT_URL: Final = "http://127.0.0.1:8009"
URL_ENV: Final = "CRUCIBLE_URL"
KEY_ENV: Final = "CRUCIBLE_API_KEY"
CONNECT_TIMEOUT: Final = 10.0
RESPONSE_TIMEOUT: Final = 60.0
FIRST_DELAY: Final = 0.1
MAX_DELAY: Final = 5.0
DEFAULT_PATIENCE: Final = 120.0
MAX_FAILED_STARTS: Final = 2


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and what its response becomes."""

    method: str
    path: str
    parse: Callable[[httpx.Response], T]
    params: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    response_timeout: float | None = RESPONSE_TIMEOUT
    # Whether the server does it once, however often it is asked: it reads, or it has a name that the client chose.
    repeatable: bool = False

    def arguments(self) -> dict[str, Any]:
        """For httpx's `request`."""
        headers = dict(self.headers)
        if self.content is not None:
            headers.setdefault("content-type", "application/octet-stream")
        timeout = httpx.Timeout(self.response_timeout, connect=CONNECT_TIMEOUT, pool=None)
        return {
            "method": self.method,
            "url": self.path,
            "params": dict(self.params) or None,
            "json": self.json,
            "content": self.content,
            "headers": headers,
            "timeout": timeout,
        }


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the server is, and the key for it."""

    url: str
    key: str | None
    patience: float

    @classmethod
    def of(cls, url: str | None, key: str | None, patience: float) -> Settings:
        """Of what was given, else of `CRUCIBLE_URL` and `CRUCIBLE_API_KEY`."""
        url = (url or os.environ.get(URL_ENV) or DEFAULT_URL).rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise errors.ConfigurationError(f"{url!r} is no URL: give {URL_ENV} as http://HOST:PORT")
        return cls(url, key or os.environ.get(KEY_ENV) or None, patience)

    def options(self) -> dict[str, Any]:
        """For httpx's clients. Proxies of the environment are not for a server on this machine."""
        headers = {"accept": "application/json"}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        host = httpx.URL(self.url).host
        return {
            "base_url": self.url,
            "headers": headers,
            "follow_redirects": False,
            "trust_env": host not in ("127.0.0.1", "localhost", "::1"),
            "limits": httpx.Limits(max_connections=None, max_keepalive_connections=64),
        }


class Attempts:
    """Decides whether a call is repeated, and when. One for each call."""

    def __init__(self, call: Call[Any], patience: float) -> None:
        self._call = call
        self._deadline = time.monotonic() + patience
        self._delay = FIRST_DELAY
        self._failed_starts = 0

    def after_error(self, error: httpx.TransportError) -> float:
        """Seconds until the next try, after no response came.

        Raises:
            TransportError: when the request may have been carried out and cannot be repeated, or patience ends.
        """
        never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        if never_sent or self._call.repeatable:
            delay = self._next(None)
            if delay is not None:
                return delay
        what = f"{self._call.method} {self._call.path}"
        raise errors.TransportError(f"{what}: {type(error).__name__}: {error}") from error

    def after_response(self, response: httpx.Response) -> float | None:
        """Seconds until the next try, or None when the response is the result.

        Raises:
            ApiError: when the response reports an error.
        """
        if response.is_success:
            return None
        problem = _problem(response)
        busy = response.status_code in (429, 503)
        if problem.get("kind") == "not_started":  # a sandbox: not a lack of places
            self._failed_starts += 1
            busy = self._failed_starts <= MAX_FAILED_STARTS
        # 409 with Retry-After: the first request with this Idempotency-Key is still being accepted.
        pending = response.status_code == 409 and "retry-after" in response.headers and self._call.repeatable
        if busy or pending:
            delay = self._next(response.headers.get("retry-after"))
            if delay is not None:
                return delay
        raise errors.of_response(response.status_code, problem, response.text)

    def _next(self, retry_after: str | None) -> float | None:
        delay = self._delay
        self._delay = min(self._delay * 2, MAX_DELAY)
        if retry_after is not None and retry_after.isdecimal():
            delay = max(float(retry_after), FIRST_DELAY)
        return delay if time.monotonic() + delay <= self._deadline else None


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        problem = response.json()
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}
