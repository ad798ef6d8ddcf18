"""Requests without events: preflights, webhook handshakes, stubs, HEAD, openapi.json, wrong paths.

Takes an exchange, gives its answer, or a Refusal that says what exists instead.
"""

from __future__ import annotations

from typing import Final

from ingest.admit import Admission
from ingest.answers import GIF, JSON, NATIVE, NO_STORE, PIXEL, Facts
from ingest.errors import Refusal, Situation
from ingest.exchange import Answer, Exchange, Headers
from ingest.openapi import OPENAPI_PATH, document
from ingest.routes import Routes

METHODS: Final = ("GET", "POST")


class Lobby:
    """Answers at once, from what is known at start."""

    def __init__(self, routes: Routes, admission: Admission) -> None:
        self._routes = routes
        self._admission = admission
        self._document = document(routes.all)
        self._listed = sorted(
            {f"{route.method} {route.path}" for route, _ in routes.all} | {f"GET {OPENAPI_PATH}"}
        )

    def answer(self, exchange: Exchange) -> Answer:
        """The answer to a request whose method and path are no route. Raises Refusal."""
        method, path = exchange.incoming.method, exchange.incoming.path
        if path == OPENAPI_PATH and method in ("GET", "HEAD"):
            return self._headless(exchange, _json(self._document, self.cors(exchange)))
        methods = {"GET"} if path == OPENAPI_PATH else self._methods(exchange)
        if not methods:
            text = f"{exchange.where()}: there is no such path here; there are {', '.join(self._listed)}"
            raise Refusal(Situation.UNKNOWN_PATH, "unknown_path", text)
        if method == "OPTIONS":
            return self._options(exchange, methods)
        if method == "HEAD" and "GET" in methods:
            return self._head(exchange)
        allowed = _allowed(methods)
        text = f"{exchange.where()}: this path has {allowed.decode()}"
        facts = Facts(code="wrong_method", message=text)
        column = exchange.dialect.column if exchange.dialect else NATIVE
        return self._headless(
            exchange,
            column.answer(Situation.WRONG_METHOD, facts, self.cors(exchange), more=[(b"allow", allowed)]),
        )

    def stub(self, exchange: Exchange) -> Answer:
        """The answer of a route that takes no events. Raises Refusal where it asks for a key."""
        route, dialect = exchange.route, exchange.dialect
        assert route is not None
        assert route.stub is not None
        assert dialect is not None
        if route.keyed:
            terms = self._admission.at_once(exchange, dialect)
            exchange.terms = terms or self._admission.without_key(exchange, dialect)
        return _json(route.stub(exchange), self.cors(exchange))

    def cors(self, exchange: Exchange) -> Headers:
        """Headers for the page that asked: by the source's list, or by all lists while it is not known."""
        if not exchange.origin:
            return []
        origins = exchange.terms.source.origins if exchange.terms else self._admission.origins
        return origins.headers(exchange.origin)

    def _methods(self, exchange: Exchange) -> set[str]:
        """The methods of the path; the first of its routes becomes that of the exchange."""
        methods = set()
        for method in METHODS:
            if hits := self._routes.get(method, exchange.incoming.path):
                methods.add(method)
                exchange.route, exchange.dialect, exchange.segments, exchange.owner = hits[0]
        return methods

    def _options(self, exchange: Exchange, methods: set[str]) -> Answer:
        headers = exchange.headers
        if host := headers.get(b"webhook-request-origin"):
            return self._handshake(exchange, host, methods)
        if exchange.origin and b"access-control-request-method" in headers:
            asked = headers.get(b"access-control-request-headers", b"")
            return Answer(204, self._admission.origins.preflight(exchange.origin, asked), b"")
        return Answer(204, [(b"allow", _allowed(methods)), *self.cors(exchange)], b"")

    def _handshake(self, exchange: Exchange, host: bytes, methods: set[str]) -> Answer:
        """May this host send webhooks here? CloudEvents Web Hooks 1.0.2 section 4.2."""
        hits = self._routes.get("POST", exchange.incoming.path)
        granted: Headers = []
        if any(hit.dialect.webhook for hit in hits):
            rate = exchange.headers.get(b"webhook-request-rate", b"")
            granted = self._admission.origins.handshake(host, rate)
        size = (b"content-length", b"0")
        return Answer(200, [(b"allow", _allowed(methods)), size, *granted, *self.cors(exchange)], b"")

    def _head(self, exchange: Exchange) -> Answer:
        route = exchange.route
        if route is not None and route.stub is not None:
            return self._headless(exchange, self.stub(exchange))
        size = (b"content-length", b"%d" % len(PIXEL))
        return Answer(200, [(b"content-type", GIF), size, NO_STORE, *self.cors(exchange)], b"")

    def _headless(self, exchange: Exchange, answer: Answer) -> Answer:
        return answer._replace(body=b"") if exchange.incoming.method == "HEAD" else answer


def _json(body: bytes, cors: Headers) -> Answer:
    size = (b"content-length", b"%d" % len(body))
    return Answer(200, [(b"content-type", JSON), size, NO_STORE, *cors], body)


def _allowed(methods: set[str]) -> bytes:
    names = {*methods, "OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
    return ", ".join(sorted(names)).encode()
