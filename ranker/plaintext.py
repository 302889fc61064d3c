"""What would leave this machine unencrypted."""

import ipaddress
import sys
from collections.abc import Iterable
from urllib.parse import urlsplit


def on_this_machine(host: str) -> bool:
    """A loopback address or `localhost`. Any other name is whoever's the resolver says, `127.example.org` too."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def warn_of_plaintext(what: str, urls: Iterable[str]) -> None:
    """One line on standard error that names the hosts beyond this machine that http would carry `what` to or from."""
    hosts = dict.fromkeys(host for url in urls if (host := _http_host(url)) and not on_this_machine(host))
    if hosts:
        print(
            f"ctrlrec: {', '.join(hosts)}: http carries {what} in the clear; use https beyond a private network",
            file=sys.stderr,
        )


def _http_host(url: str) -> str | None:
    """None also for what is no address, of which others complain."""
    try:
        parts = urlsplit(url)
        return parts.hostname if parts.scheme == "http" else None
    except ValueError:
        return None
