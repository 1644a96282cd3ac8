"""The files that make settings last: one of ours in each folder, nobody else's touched."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aitrade_cli.system.tuning.facts import parse_environment
from aitrade_cli.system.tuning.settings.kinds import Setting
from aitrade_cli.system.tuning.tree import Tree, canonical

MARK: Final = "# Managed by aitrade tune-system"
MEASURED: Final = "# Measured:"
UNDO: Final = "undo: aitrade tune-system --revert"
SYSCTL_FILE: Final = "/etc/sysctl.d/90-aitrade.conf"
SYSCTL_FOLDERS: Final = (
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/usr/lib/sysctl.d",
    "/lib/sysctl.d",
)
STATE: Final = "/var/lib/aitrade/tune"


@dataclass(frozen=True, slots=True)
class Form:
    """How one kind of file spells its entries, and how they are read back."""

    file: str
    line: Callable[[str, str], str]
    pattern: re.Pattern[str]  # groups of the entry's key, and of its value the last
    head: str = ""
    key: Callable[..., str] = lambda *groups: groups[0]

    def render(
        self, entries: Mapping[str, str], plan_id: str, measured: Sequence[str] = ()
    ) -> bytes:
        lines = [f"{MARK}, plan {plan_id}; {UNDO}", *([self.head] if self.head else [])]
        chosen = [name for name in dict.fromkeys(measured) if name in entries]
        lines += [f"{MEASURED} {' '.join(chosen)}"] if chosen else []
        lines += [self.line(key, value) for key, value in entries.items()]
        return ("\n".join(lines) + "\n").encode()

    def parse(self, data: bytes | None) -> dict[str, str]:
        text = (data or b"").decode("utf-8", errors="replace")
        found = (self.pattern.match(line.strip()) for line in text.splitlines())
        groups = [match.groups() for match in found if match]
        return {self.key(*words): canonical(words[-1]) for words in groups}


def udev_line(path: str, value: str) -> str:
    _, _, _, device, _, attribute = path.split("/")
    return f'ACTION=="add|change", KERNEL=="{device}", ATTR{{queue/{attribute}}}="{value}"'


ENVIRONMENT: Final = Form(
    "/etc/aitrade/tune.env",
    lambda key, value: f"{key}={value}",
    re.compile(r"([A-Za-z_]\w*)=(.*)"),
)
SYSCTL: Final = Form(
    SYSCTL_FILE,
    lambda key, value: f"{key} = {value}",
    re.compile(r"-?([a-z][\w./-]*)\s*=\s*(.*)"),
)
TMPFILES: Final = Form(
    "/etc/tmpfiles.d/90-aitrade.conf",
    lambda path, value: f"w {path} - - - - {value}",
    re.compile(r"w (\S+) - - - - (.*)"),
)
UDEV: Final = Form(
    "/etc/udev/rules.d/90-aitrade.rules",
    udev_line,
    re.compile(r'ACTION=="add\|change", KERNEL=="(\w+)", ATTR\{queue/(\w+)\}="([^"]*)"'),
    key=lambda device, attribute, _: f"/sys/block/{device}/queue/{attribute}",
)
LIMITS: Final = Form(
    "/etc/security/limits.d/90-aitrade.conf",
    lambda name, value: f"* soft {name} {value}\nroot soft {name} {value}",
    re.compile(r"\* soft (\w+) (\d+)"),
)
SYSTEMD: Final = Form(
    "/etc/systemd/system.conf.d/90-aitrade.conf",
    lambda name, value: f"DefaultLimit{name.upper()}={value}:{hard_beside(value)}",
    re.compile(r"DefaultLimit(\w+)=(\d+):.*"),
    "[Manager]",
    lambda name, _: name.lower(),
)
FORMS: Final = (ENVIRONMENT, SYSCTL, TMPFILES, UDEV, LIMITS, SYSTEMD)
MANAGERS_HARD_LIMIT: Final = 524_288  # what systemd gives by itself; never lowered


def hard_beside(value: str) -> int:
    return max(int(value), MANAGERS_HARD_LIMIT)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the journal and the environment file are kept, as names within the tree."""

    state: str
    environment: str
    personal: bool  # the user's own folders, because the system's may not be written

    def file_of(self, form: Form) -> str:
        return self.environment if form is ENVIRONMENT else form.file


def places_for(tree: Tree) -> Places:
    """The system's folders, or the user's own where this user may not write those."""
    system = Places(STATE, ENVIRONMENT.file, personal=False)
    if not tree.real or (os.access("/etc", os.W_OK) and os.access("/var/lib", os.W_OK)):
        return system
    home = Path.home()
    state = Path(os.environ.get("XDG_STATE_HOME") or home / ".local/state")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    return Places(str(state / "aitrade/tune"), str(config / "aitrade/tune.env"), personal=True)


def forms_for(tree: Tree, setting: Setting) -> tuple[Form, ...]:
    """The files that make a setting last on this host."""
    match setting.backend:
        case "environment":
            return (ENVIRONMENT,)
        case "sysctl":
            return (SYSCTL,)
        case "sysfs":
            return (TMPFILES,)
        case "queue":
            return (UDEV,)
        case "limit":
            return (LIMITS, SYSTEMD) if tree.exists("/etc/systemd") else (LIMITS,)
    return ()


def entry_key(setting: Setting, target: str) -> str:
    """How a setting's target is named in its file."""
    return setting.path(target) if setting.backend in {"sysfs", "queue"} else setting.place


def is_ours(data: bytes) -> bool:
    return data.startswith(MARK.encode())


def entries_in(tree: Tree, places: Places, form: Form) -> dict[str, str]:
    """What our own file holds; nothing where it is not there or not ours."""
    data = tree.read(places.file_of(form))
    if data is None or not is_ours(data):
        return {}
    if form is ENVIRONMENT:
        return parse_environment(data.decode("utf-8", errors="replace"))
    return form.parse(data)


def measured_in(tree: Tree, places: Places) -> tuple[str, ...]:
    """Variables of our environment file whose value a measurement chose."""
    data = tree.read(places.environment) or b""
    if not is_ours(data):
        return ()
    lines = data.decode("utf-8", errors="replace").splitlines()
    found = next((line for line in lines if line.startswith(MEASURED)), MEASURED)
    return tuple(found.removeprefix(MEASURED).split())


def set_later(tree: Tree, key: str, value: str) -> str | None:
    """The file that gives a ``sysctl`` key another value after ours has been read, if any.

    Of files with one name the first folder's counts; they are read in the order of their
    names; `/etc/sysctl.conf` comes last where it is read at all.
    """
    files: dict[str, str] = {}
    for folder in reversed(SYSCTL_FOLDERS):
        names = [name for name in tree.names(folder) if name.endswith(".conf")]
        files |= {name: f"{folder}/{name}" for name in names}
    ours = SYSCTL_FILE.rpartition("/")[2]
    later = [files[name] for name in sorted(files) if name > ours]
    found = None
    for file in (*later, "/etc/sysctl.conf"):
        entries = SYSCTL.parse(tree.read(file))
        given = {name.replace("/", "."): text for name, text in entries.items()}.get(key)
        if given is not None:
            found = file if given != canonical(value) else None
    return found
