"""Which of a machine's network interfaces leads to the other machines of a training."""

from __future__ import annotations

import socket
from contextlib import suppress
from fcntl import ioctl
from ipaddress import ip_address
from pathlib import Path

from torch import distributed

from slotkeeper.launched import Place

_ASK_ADDRESS = 0x8915
"""SIOCGIFADDR of Linux: the first IPv4 address of an interface."""
_IPV6_ADDRESSES = Path("/proc/net/if_inet6")
_LOOPBACK = "lo"
_ADDRESS = "slotkeeper/address"


def interface_among(place: Place, store: distributed.Store) -> str | None:
    """The interface through which this process reaches the others; all processes must ask.

    Gloo takes the one that the machine's own name belongs to. On many machines that is the loopback, which no other
    machine reaches. This is the one that leads to where all meet or, where that is the loopback, to the first of the
    others that another one leads to. None where none can be told.
    """
    own = address_towards(place.address)
    store.set(f"{_ADDRESS}/{place.rank}", own or "")
    interface = interface_with(own)
    if interface not in (None, _LOOPBACK):
        return interface
    for rank in range(place.world_size):
        other = store.get(f"{_ADDRESS}/{rank}").decode()
        leading = interface_with(address_towards(other)) if other else None
        if leading not in (None, _LOOPBACK):
            return leading
    return interface


def address_towards(machine: str) -> str | None:
    """This machine's address on the way to another one, to which nothing is sent; None where there is no way."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((machine, 9))
            address: str = probe.getsockname()[0]
            return address
    return None


def interface_with(address: str | None) -> str | None:
    """The name of the interface that has this address."""
    if address is None:
        return None
    wanted = ip_address(address.partition("%")[0])
    if wanted.is_loopback:
        return _LOOPBACK
    if wanted.version == 6:
        with suppress(OSError):
            for number, *_, name in map(str.split, _IPV6_ADDRESSES.read_text(encoding="ascii").splitlines()):
                if int(number, 16) == int(wanted):
                    return name
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # an interface without an address
                answer = ioctl(probe.fileno(), _ASK_ADDRESS, name.encode().ljust(256, b"\0"))
                if ip_address(answer[20:24]) == wanted:
                    return name
    return None
