"""The admin port: takes the state and the metrics of all processes, answers operators and probes.

GET /healthz   200 while the supervisor runs
GET /readyz    200 or 503: {"ready": bool, "reasons": [text], "kafka": {"state": "up"|"down", …},
               "topics": [{"topic", "code", "text", "severity"}],
               "processes": {role: [{"pid", "ready", "restarts", "reasons", "said_seconds_ago"}]}}
GET /metrics   Prometheus' text format, all processes merged
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import orjson
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.stack.measures import Measures, Own
from headrace.stack.readiness import state_of
from headrace.stack.supervisor import Supervisor

CONNECTIONS_MAX: Final = 64
GRACE_SECONDS: Final = 1
IDLE_SECONDS: Final = 5

Remarks = Callable[[], list[str]]


def build_app(supervisor: Supervisor, measures: Measures, remarks: Remarks) -> Starlette:
    """The application; `remarks` are further reasons for /readyz that do not make it unready."""
    own = Own(supervisor)

    async def healthz(request: Request) -> Response:
        return _json(200, {"alive": True})

    async def readyz(request: Request) -> Response:
        state = state_of(supervisor)
        state["reasons"] += remarks()
        return _json(200 if state["ready"] else 503, state)

    async def metrics(request: Request) -> Response:
        text = await asyncio.to_thread(measures.exposition, own)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
    )


class AdminServer(uvicorn.Server):
    """uvicorn in the supervisor's loop, without signal handlers: the signals are the supervisor's."""

    def __init__(self, app: Starlette) -> None:
        """`should_exit` ends it."""
        config = uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        super().__init__(config)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Not ours."""
        yield

    async def run_on(self, listener: socket.socket) -> None:
        """Serve until `should_exit`. Suspends."""
        await self.serve(sockets=[listener])


def _json(status: int, content: Any) -> Response:
    return Response(orjson.dumps(content) + b"\n", status, media_type="application/json")
