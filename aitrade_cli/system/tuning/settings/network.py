"""Row 40: buffers and queues for market data. Training on one host gains nothing from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aitrade_cli.system.tuning.facts import Facts
from aitrade_cli.system.tuning.settings.kinds import Allowed, Purpose, Setting, Whole, Wish, Words

IP_SYSCTL: Final = "https://docs.kernel.org/networking/ip-sysctl.html"
NET_SYSCTL: Final = "https://docs.kernel.org/admin-guide/sysctl/net.html"
BUFFER_BYTES: Final = 16 << 20
MOST_BUFFER_BYTES: Final = 64 << 20
TRIPLE: Final = Whole(4096, MOST_BUFFER_BYTES, count=3)


def at_least(name: str, least: int, why: str) -> Callable[[Facts, Purpose, str], Wish]:
    """Raise a number to ``least``; more is left."""

    def rule(facts: Facts, _: Purpose, __: str) -> Wish:
        found = facts.tree.value(f"/proc/sys/{name.replace('.', '/')}") or ""
        if found.isdigit() and int(found) > least:
            return Wish(None, f"{found} is enough")
        return Wish(str(least), why)

    return rule


def triple(name: str) -> Callable[[Facts, Purpose, str], Wish]:
    """Raise the last of least, first and most to the buffer's size; more is left."""

    def rule(facts: Facts, _: Purpose, __: str) -> Wish:
        words = (facts.tree.value(f"/proc/sys/{name.replace('.', '/')}") or "").split()
        if len(words) != 3 or not all(word.isdigit() for word in words):
            return Wish(None, "not three numbers here")
        if int(words[2]) > BUFFER_BYTES:
            return Wish(None, f"up to {words[2]} bytes are enough")
        return Wish(f"{words[0]} {words[1]} {BUFFER_BYTES}", "a burst of ticks fits")

    return rule


def congestion(facts: Facts, _: Purpose, __: str) -> Wish:
    place = "/proc/sys/net/ipv4/tcp_available_congestion_control"
    if "bbr" not in (facts.tree.value(place) or "").split():
        return Wish(None, "bbr is not loaded")
    return Wish(None, "bbr is there; it helps long lines with loss, not a local feed")


def key(
    name: str,
    what: str,
    rule: Callable[[Facts, Purpose, str], Wish],
    rule_text: str,
    allowed: Allowed,
    source: str = NET_SYSCTL,
) -> Setting:
    return Setting(
        40,
        name,
        what,
        "situational",
        "sysctl",
        name,
        rule,
        rule_text,
        "fewer lost packets on hosts that take market data; none for training",
        source,
        "memory of the kernel",
        allowed,
        ("feed",),
        speed=False,
    )


SETTINGS: Final = (
    key(
        "net.core.rmem_max",
        "largest receive buffer a program may ask for",
        at_least("net.core.rmem_max", BUFFER_BYTES, "a burst of ticks fits"),
        "16 MiB for feeds",
        Whole(65_536, MOST_BUFFER_BYTES),
    ),
    key(
        "net.core.wmem_max",
        "largest send buffer a program may ask for",
        at_least("net.core.wmem_max", BUFFER_BYTES, "as the receive buffer"),
        "16 MiB for feeds",
        Whole(65_536, MOST_BUFFER_BYTES),
    ),
    key(
        "net.ipv4.tcp_rmem",
        "receive buffers of TCP",
        triple("net.ipv4.tcp_rmem"),
        "up to 16 MiB for feeds",
        TRIPLE,
        IP_SYSCTL,
    ),
    key(
        "net.ipv4.tcp_wmem",
        "send buffers of TCP",
        triple("net.ipv4.tcp_wmem"),
        "up to 16 MiB for feeds",
        TRIPLE,
        IP_SYSCTL,
    ),
    key(
        "net.core.somaxconn",
        "connections that may wait",
        at_least("net.core.somaxconn", 4096, "services that answer many clients"),
        "at least 4,096 for feeds",
        Whole(128, 65_535),
    ),
    Setting(
        40,
        "net.ipv4.tcp_congestion_control",
        "how TCP finds its rate",
        "cargo cult",
        "sysctl",
        "net.ipv4.tcp_congestion_control",
        congestion,
        "left",
        "none on a local network",
        IP_SYSCTL,
        "fairness on shared lines",
        Words(("cubic", "bbr", "reno")),
    ),
    Setting(
        40,
        "net.core.busy_poll",
        "spin for packets instead of waiting",
        "cargo cult",
        "sysctl",
        "net.core.busy_poll",
        lambda _, __, ___: Wish(None, "burns a core for each socket; only with cores set aside"),
        "left",
        "some microseconds with isolated cores, a loss without",
        NET_SYSCTL,
        "a whole core",
    ),
)
