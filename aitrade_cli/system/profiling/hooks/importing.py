"""Put the hooks in right after a library was imported, and never import it ourselves."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

Installer = Callable[[ModuleType], None]
Before = Callable[[], None]


class AfterImport(MetaPathFinder):
    """Calls an installer for each module that is named, once it has been executed."""

    def __init__(self, installers: Mapping[str, Installer], before: Mapping[str, Before]) -> None:
        self.installers = dict(installers)
        self.before = before

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find it as Python would, and wrap what executes it."""
        installer = self.installers.pop(fullname, None)
        if installer is None:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            before = self.before.get(fullname, lambda: None)
            spec.loader.exec_module = executing(spec.loader, before, installer)
        return spec


def executing(loader: Loader, before: Before, installer: Installer) -> Any:  # noqa: ANN401
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        before()
        execute(module)
        installer(module)

    return exec_module


class Replaced(MetaPathFinder):
    """Imports some files of the user with other text, as if that stood in them."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find it as Python would; where its file is one of ours, load our text."""
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None or spec.origin not in self.texts:
            return None
        spec.loader = OtherText(fullname, spec.origin, self.texts[spec.origin])
        return spec


class OtherText(SourceFileLoader):
    """A source file whose text is given. Its compiled form is never cached."""

    def __init__(self, fullname: str, path: str, text: str) -> None:
        super().__init__(fullname, path)
        self.text = text

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 -- the loader's interface
        """Compile the given text under the file's own name."""
        return compile(self.text, self.path, "exec", dont_inherit=True)


def watch(installers: Mapping[str, Installer], before: Mapping[str, Before]) -> None:
    """Install now what is imported already, and the rest when it is.

    Args:
        installers: by module name, what to do once it has been executed.
        before: by the same names, what to do right before.
    """
    for name in [name for name in installers if name in sys.modules]:
        installers[name](sys.modules[name])
    later = {name: what for name, what in installers.items() if name not in sys.modules}
    sys.meta_path.insert(0, AfterImport(later, before))
