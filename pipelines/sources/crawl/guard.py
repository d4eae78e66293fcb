"""The address guard: what a name resolved to is checked at the moment of connecting, and nothing else is connected to.

A crawler follows links that strangers wrote. `http://10.0.0.1/`, a name that resolves to 169.254.169.254, a redirect to
loopback, or a name that answers differently the second time (DNS rebinding) must not reach the machine's own network.
So the check stands in the connector, in the function that makes the socket for one resolved address: no second lookup
can come between check and connection, and every hop of every redirect passes it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

Lookup = Callable[[str, int], Awaitable[list[tuple[str, int]]]]
peer_address: ContextVar[str] = ContextVar("peer_address", default="")

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class AddressRefused(Exception):
    """The address is not on the public Internet. Not an OSError: it must not pass for a failed connection."""


def refusal(address: str) -> str | None:
    """Why a crawler must not connect to this IP address; None for a public one.

    IPv6 forms that carry an IPv4 address (mapped, compatible, 6to4, Teredo, NAT64) are judged by that address as well.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    kinds = ("unspecified", "loopback", "link_local", "multicast", "private", "reserved")
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and (ip in _NAT64 or 1 < int(ip) < 1 << 32):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return refusal(str(inner))
        if ip.is_site_local:
            return "private"
    for kind in kinds:
        if getattr(ip, f"is_{kind}"):
            return kind
    return None if ip.is_global else "not_global"  # carrier-grade NAT 100.64/10, documentation ranges, …


async def system_lookup(host: str, port: int) -> list[tuple[str, int]]:
    """Addresses of a name by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((str(item[4][0]), port) for item in found))


class _Resolver(AbstractResolver):
    """Looks names up; names in `connect_to` lead to the address and port given there (as curl's --connect-to)."""

    def __init__(self, connect_to: Mapping[str, tuple[str, int]], lookup: Lookup) -> None:
        self._connect_to, self._lookup = connect_to, lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = [self._connect_to[host]] if host in self._connect_to else await self._lookup(host, port)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=at,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address, at in found
        ]

    async def close(self) -> None:
        return None


class GuardedConnector(aiohttp.TCPConnector):
    """aiohttp's connector, which raises AddressRefused before it would connect to an address that is not public.

    After a connection is made, `peer_address` holds the address it leads to, for the task that asked (for the WARC).
    """

    def __init__(
        self,
        allow_private: bool = False,
        connect_to: Mapping[str, tuple[str, int]] | None = None,
        lookup: Lookup = system_lookup,
        **options: Any,
    ) -> None:
        def checked_socket(info: Any) -> socket.socket:
            family, kind, protocol, _, address = info
            why = None if allow_private else refusal(str(address[0]))
            if why is not None:
                raise AddressRefused(f"{address[0]} is {why.replace('_', '-')}")
            return socket.socket(family, kind, protocol)

        super().__init__(
            resolver=_Resolver(connect_to or {}, lookup),
            socket_factory=checked_socket,
            happy_eyeballs_delay=None,  # one address after the other, so that a refusal is what the caller sees
            use_dns_cache=False,
            **options,
        )

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
        connection = await super().connect(req, traces, timeout)
        peer = connection.transport.get_extra_info("peername") if connection.transport else None
        peer_address.set(str(peer[0]) if peer else "")
        return connection
