"""The reference: a collector as one would write it in an afternoon with Starlette, orjson and aiokafka.

Honest and short: Segment batches or single events over POST, each event parsed, enriched with the receive
time, sent by `AIOKafkaProducer.send` with acks=all and idempotence, answered when all of them are in the log.
What a competent engineer would set is set (uvloop, httptools, compression, a linger); nothing is made slow on
purpose. It exists to be measured against, in the same run as ours.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import uvicorn
from aiokafka import AIOKafkaProducer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

ACCEPTED = b'{"success":true}'
LINGER_MS = 5
BATCH_BYTES_MAX = 1 << 20


def build(kafka: str, topic: str, compression: str, key: str) -> Starlette:
    """The application; its producer lives as long as it does."""
    expected = "Basic " + base64.b64encode(f"{key}:".encode()).decode()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.producer = AIOKafkaProducer(
            bootstrap_servers=kafka,
            acks="all",
            enable_idempotence=True,
            compression_type=None if compression == "none" else compression,
            linger_ms=LINGER_MS,
            max_batch_size=BATCH_BYTES_MAX,
        )
        async with app.state.producer:
            yield

    async def collect(request: Request) -> Response:
        if request.headers.get("authorization") != expected:
            return Response(b'{"error":"unknown key"}', 401, media_type="application/json")
        try:
            document = orjson.loads(await request.body())
        except orjson.JSONDecodeError as error:
            return Response(orjson.dumps({"error": str(error)}), 400, media_type="application/json")
        received_us = time.time_ns() // 1000
        events = document.get("batch", (document,))
        producer: AIOKafkaProducer = request.app.state.producer
        futures = [await producer.send(topic, *record(event, received_us)) for event in events]
        await asyncio.gather(*futures)
        return Response(ACCEPTED, media_type="application/json")

    routes = [
        Route("/v1/batch", collect, methods=["POST"]),
        Route("/v1/{kind:str}", collect, methods=["POST"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def record(event: dict[str, Any], received_us: int) -> tuple[bytes, bytes]:
    """Value and key of the record of one event."""
    event["received_at"] = received_us
    event["collector"] = "reference"
    key = event.get("userId") or event.get("anonymousId") or event["messageId"]
    return orjson.dumps(event), key.encode()


def main() -> None:
    """`python -m loadtest.reference_collector --kafka HOST:PORT --port N`; ends with SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--compression", default="zstd", choices=("zstd", "lz4", "none"))
    parser.add_argument("--key", default="demo")
    given = parser.parse_args()
    app = build(given.kafka, given.topic, given.compression, given.key)
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="warning", access_log=False, loop="uvloop")


if __name__ == "__main__":
    main()
