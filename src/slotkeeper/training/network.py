"""Which of a machine's network interfaces leads to the other machines of a training."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from fcntl import ioctl
from ipaddress import ip_address

from torch import distributed

from slotkeeper.launched import Place

_ASK_ADDRESS = 0x8915
"""SIOCGIFADDR of Linux: the IPv4 address of an interface."""
_ADDRESS = "slotkeeper/address"


def interface_among(place: Place, store: distributed.Store) -> str | None:
    """The interface through which this process reaches the others; all processes must ask.

    Gloo takes the one that the machine's own name belongs to. On many machines that is the loopback, which no other
    machine reaches. This is the one that leads to where all meet or, where they meet on this very machine, to one of
    the others that isn't on it. None where that can't be told: no IPv4.
    """
    own = address_towards(place.address)
    store.set(f"{_ADDRESS}/{place.rank}", own or "")
    if own is not None and ip_address(own).is_loopback:
        others = [store.get(f"{_ADDRESS}/{rank}").decode() for rank in range(place.world_size)]
        distant = [other for other in others if other and not ip_address(other).is_loopback]
        own = address_towards(distant[0]) if distant else own
    return None if own is None else _interface_with(own)


def address_towards(machine: str) -> str | None:
    """This machine's IPv4 address on the way to another one, to which nothing is sent; None where there is no way."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((machine, 9))
        address: str = probe.getsockname()[0]
        return address
    return None


def _interface_with(address: str) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # an interface without an address
                answer = ioctl(probe.fileno(), _ASK_ADDRESS, struct.pack("256s", name.encode()))
                if socket.inet_ntoa(answer[20:24]) == address:
                    return name
    return None
