"""The folder of a study: whose it is, who holds it, and what search it belongs to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from aitrade_cli import files, lock
from aitrade_cli.errors import BadInput

KEY: Final = "study.json"


class OtherStudy(BadInput):
    """The folder remembers a search of something else."""

    def __init__(self, folder: Path, what: str) -> None:
        super().__init__(
            f"`{folder}` holds a search with another {what}",
            hint="name another folder with `--study`, or remove that one",
        )


class StudyInUse(lock.InUse):
    """Another process is searching in this folder now."""

    default_hint = "wait for it, or name another folder with `--study`"


class Lock(lock.Lock):
    """Held from its making until ``release``.

    Raises:
        StudyInUse: somebody else holds it.
    """

    refusal = StudyInUse


class CannotKeepStudy(BadInput):
    """The folder of the study cannot be made or written."""

    default_hint = "name a folder that can be written with `--study`"


class StudyDamaged(BadInput):
    """A file of the study cannot be read."""

    default_hint = "remove the folder and search again"

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"`{path}` cannot be read: {why}")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder where it is missing, and hold it. A stranger's is not touched.

    Raises:
        OtherStudy: it holds something that no search wrote.
        CannotKeepStudy: it cannot be made or written.
        StudyInUse: another process holds it.
    """
    try:
        refuse_strangers(folder)
        folder.mkdir(parents=True, exist_ok=True)
        held = Lock(folder)
    except OSError as error:
        raise CannotKeepStudy(f"`{folder}`: {error.strerror}") from error
    try:
        yield
    finally:
        held.release()


def refuse_strangers(folder: Path) -> None:
    """A folder with content and without our key is somebody else's.

    Raises:
        OtherStudy: it is.
    """
    if not folder.exists() or (folder / KEY).is_file():
        return
    strangers = sorted(one.name for one in folder.iterdir() if one.name != lock.NAME)
    if strangers:
        raise OtherStudy(folder, f"content, `{strangers[0]}`")


def check_key(folder: Path, key: dict[str, Any]) -> None:
    path = folder / KEY
    if not path.is_file():
        files.replace(path, json.dumps(key, indent=1).encode())
        return
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise StudyDamaged(path, str(error)) from error
    differs = [name for name in key if not isinstance(found, dict) or found.get(name) != key[name]]
    if differs:
        raise OtherStudy(folder, differs[0].replace("_", " "))
