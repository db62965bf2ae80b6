"""What is to be said of the network after a failed download."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies


def describe_network() -> str:
    """Return the first sentences of what to do next, which name the proxy if there is one.

    A name and a password that stand in the proxy's address are left out.

    Example:
        >>> from tfxfer.machine.network import describe_network
        >>> describe_network().startswith("If the connection broke, say the same again. ")
        True
    """
    again = "If the connection broke, say the same again. "
    addresses = (urlsplit(address) for name, address in getproxies().items() if "http" in name)
    used = sorted({each.netloc.rpartition("@")[2] or each.path for each in addresses})
    if not used:
        return again
    return (
        f"{again}The proxy {' or '.join(used)} was asked, as HTTPS_PROXY or the system's settings "
        "say: correct them if it is not there. "
    )
