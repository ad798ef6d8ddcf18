"""GET /openapi.json: the paths that exist, made once from the routes and the answer table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import orjson

from ingest.answers import Column
from ingest.dialects import Dialect, Route
from ingest.errors import Situation

OPENAPI_PATH: Final = "/openapi.json"
SEGMENT: Final = re.compile(r"\{(\w+)\}")
ANY_DATA: Final = "*/*"


def document(routes: Iterable[tuple[Route, Dialect]]) -> bytes:
    """An OpenAPI 3.1 document; dialects that share a path share its operation."""
    paths: dict[str, dict[str, Any]] = {}
    for route, dialect in routes:
        operations = paths.setdefault(route.path, {})
        operation = operations.setdefault(route.method.lower(), _operation(route))
        _describe(operation, route, dialect)
    info = {"title": "Headrace collector", "version": "1", "summary": "Events of any analytics SDK"}
    schemes = {
        "basic": {"type": "http", "scheme": "basic", "description": "write key as user, no password"},
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-Write-Key"},
    }
    own = {"get": {"summary": "This document", "responses": {"200": {"description": "OpenAPI 3.1"}}}}
    return orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": info,
            "paths": {**paths, OPENAPI_PATH: own},
            "components": {"securitySchemes": schemes},
            "security": [{}, *({name: []} for name in schemes)],
        }
    )


def _operation(route: Route) -> dict[str, Any]:
    names = SEGMENT.findall(route.path)
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in names
    ]
    return {"summary": route.summary, "tags": [], "parameters": parameters, "responses": {}}


def _describe(operation: dict[str, Any], route: Route, dialect: Dialect) -> None:
    if dialect.name not in operation["tags"]:
        operation["tags"].append(dialect.name)
    if route.summary not in operation["summary"]:
        operation["summary"] += "; " + route.summary
    known = {parameter["name"] for parameter in operation["parameters"]}
    queries = [] if route.stub and not route.keyed else [name.decode() for name in dialect.key_queries]
    for name in [*queries, *([] if route.stub else ["debug"])]:
        if name not in known:
            operation["parameters"].append({"name": name, "in": "query", "schema": {"type": "string"}})
    if route.method == "POST" and not route.stub:
        types = dialect.media_types or (ANY_DATA,)
        content = operation.setdefault("requestBody", {"content": {}})["content"]
        content.update({name: {} for name in types})
    operation["responses"].update(_responses(route, dialect.column))


def _responses(route: Route, column: Column) -> dict[str, Any]:
    if route.stub is not None:
        found = {200: "the stub"} | ({401: "unknown key"} if route.keyed else {})
        return {str(status): {"description": text} for status, text in found.items()}
    texts: dict[int, str] = {}
    for situation in Situation:
        reply = column.replies[situation]
        for status in {reply.status, reply.weak_status} - {0}:
            shown = 200 if route.pixel and status < 300 else status
            texts[shown] = f"{texts[shown]}; {situation.value}" if shown in texts else situation.value
    return {str(status): {"description": texts[status]} for status in sorted(texts)}
