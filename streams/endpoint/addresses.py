"""Addresses in HTTP: who a request calls this process, who sent it, and host:port in a form that is nothing else."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address, ip_network
from typing import NamedTuple

# a name, an IPv4 address, or an IPv6 address in brackets: no scheme, user, path, space or control character
_HOST = r"(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?))"
_HOST_HEADER = re.compile(rf"{_HOST}(?::[0-9]{{0,5}})?")
_HOST_PORT = re.compile(rf"{_HOST}:(?P<port>[0-9]{{1,5}})")
_LARGEST_PORT = 65_535
_CLIENT_BITS = 64  # an IPv6 network of this length usually belongs to one client, who may use all its addresses


class HostPort(NamedTuple):
    """Where a server is."""

    host: str
    """A name or an IP address, without brackets, in lower case."""
    port: int


def host_of(header: str) -> str | None:
    """The host in a Host header, in lower case; None if it is in no valid form.

    >>> host_of("127.0.0.1:6066"), host_of("[::1]:6066"), host_of("Shop.example."), host_of("a@b")
    ('127.0.0.1', '::1', 'shop.example', None)
    """
    found = _HOST_HEADER.fullmatch(header)
    return None if found is None else _host(found)


def host_and_port(address: str) -> HostPort | None:
    """Host and port of an address; None if it has any other form.

    >>> host_and_port("10.0.0.7:6066"), host_and_port("[::1]:80")
    (HostPort(host='10.0.0.7', port=6066), HostPort(host='::1', port=80))
    >>> [host_and_port(text) for text in ("shop:80/path?", "user@shop:80", "http://shop:80", "shop", "a:0", "a:99999")]
    [None, None, None, None, None, None]
    """
    found = _HOST_PORT.fullmatch(address)
    if found is None or not 0 < int(found["port"]) <= _LARGEST_PORT:
        return None
    host = _host(found)
    return None if host is None else HostPort(host, int(found["port"]))


def client_of(address: str | None) -> str:
    """The client behind an IP address: the address, or the network that an IPv6 address is in.

    >>> client_of("10.0.0.7"), client_of("::ffff:10.0.0.7"), client_of("2001:db8::1:2:3:4")
    ('10.0.0.7', '10.0.0.7', '2001:db8::/64')
    """
    try:
        ip = ip_address((address or "").partition("%")[0])
    except ValueError:
        return address or "unknown"
    if not isinstance(ip, IPv6Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ip_network((ip, _CLIENT_BITS), strict=False))


def is_own_name(host: str) -> bool:
    """Whether a host always means the machine of whoever asks: localhost, or a loopback address.

    >>> is_own_name("localhost"), is_own_name("127.0.0.1"), is_own_name("::1"), is_own_name("localhost.example")
    (True, True, True, False)
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _host(found: re.Match[str]) -> str | None:
    if found["v6"] is None:
        return found["name"].lower().rstrip(".") or None
    try:
        return str(IPv6Address(found["v6"]))
    except ValueError:
        return None
