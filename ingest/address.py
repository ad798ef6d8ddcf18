"""Part of admit: the client's address, through proxies that are trusted, after the source's privacy rule.

Sources: RFC 7239 section 4 for `Forwarded`; X-Forwarded-For as proxies write it: client, proxy, proxy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from ingest.exchange import Headers

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

CACHED_MAX: Final = 8192
ADDRESS_CHARS_MAX: Final = 64  # a longer one is none, and is not kept in a cache
HOPS_MAX: Final = 32  # of a forwarding header that are looked at, from the nearest on
KEPT_BITS: Final = {4: 24, 6: 48}  # truncating: the last octet of IPv4, the last 80 bits of IPv6 are zero


class Proxies:
    """The networks whose word about the client's address is believed."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks: tuple[Network, ...] = tuple(
            ipaddress.ip_network(text, strict=False) for text in networks
        )

    def client(self, peer: str, headers: Headers) -> str:
        """The address nearest to us that is not a trusted proxy's; the peer's where nothing is believed."""
        if not self._networks or not self._trusted(peer):
            return peer
        client = peer
        for hop in _hops(headers):
            if parsed(hop) is None:
                break
            client = hop
            if not self._trusted(hop):
                break
        return client

    def _trusted(self, text: str) -> bool:
        address = parsed(text)
        return address is not None and any(address in network for network in self._networks)


def _hops(headers: Headers) -> list[str]:
    """Addresses of X-Forwarded-For, or where it is absent of Forwarded, the nearest first."""
    for header, hop in ((b"x-forwarded-for", _plain_hop), (b"forwarded", _forwarded_hop)):
        lines = [value for name, value in headers if name == header]
        if lines:
            elements = b",".join(lines).decode("latin-1").rsplit(",", HOPS_MAX)[-HOPS_MAX:]
            return [hop(element) for element in reversed(elements)]
    return []


def _plain_hop(text: str) -> str:
    """An address with or without port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1]:80."""
    text = text.strip().strip('"')
    if len(text) > ADDRESS_CHARS_MAX:
        return ""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _forwarded_hop(element: str) -> str:
    for pair in element.split(";"):
        name, _, value = pair.strip().partition("=")
        if name.lower() == "for":
            return _plain_hop(value)
    return ""


@lru_cache(maxsize=CACHED_MAX)
def parsed(text: str) -> Address | None:
    """The address; an IPv4 address in an IPv6 one is the IPv4 address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=CACHED_MAX)
def shown(text: str, rule: str) -> bytes | None:
    """What may be stored of an address under a privacy rule; None where nothing may, or it is no address."""
    address = None if rule == "drop" else parsed(text)
    if address is None:
        return None
    if rule == "truncate":
        network = ipaddress.ip_network((address, KEPT_BITS[address.version]), strict=False)
        address = network.network_address
    return str(address).encode()
