"""The event loop of a worker: uvloop, which does not wait long for a broker to answer the end of a TLS connection."""

from typing import Any

import uvloop

TLS_CLOSE_TIMEOUT = 2.0
"""Seconds. A broker may never answer, and uvloop's 30 are more than a worker has for all of its stopping."""


class Loop(uvloop.Loop):  # type: ignore[misc]  # uvloop tells no types
    async def create_connection(self, *arguments: Any, ssl: Any = None, **options: Any) -> Any:
        if ssl:
            options["ssl_shutdown_timeout"] = TLS_CLOSE_TIMEOUT
        return await super().create_connection(*arguments, ssl=ssl, **options)
