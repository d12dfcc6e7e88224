"""Directories, files, symbolic links and paths that must not be there.

A file is written beside its place under a fixed name, given its owner and mode, checked by its own
validator, and renamed over the old one only when every file of the plan was found good: a bad file
leaves all of them as they were. The fixed name lets the next converge clear what a killed one left.
"""

from __future__ import annotations

import os
import stat

from .host import Host, StateError
from .plan import Change, Plan, sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

NEW = ".slipway-new"
HIDDEN = "(content is not shown)\n"


def beside(path: str) -> str:
    """Return the fixed name under which the next content of ``path`` is prepared."""
    folder, name = os.path.split(path)
    return f"{folder}/.{name}{NEW}"


def sync_folder(host: Host, path: str) -> None:
    """Make a rename or unlink in the folder of ``path`` survive a power loss."""
    folder = os.open(host.path(os.path.dirname(path)), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_beside(host: Host, path: str, content: bytes, owner: tuple[int, int], mode: int) -> str:
    """Write ``content`` to its fixed name beside ``path``, durable, with owner and mode; return that name."""
    new = beside(path)
    write(host, new, content, owner, mode)
    return new


def write(host: Host, path: str, content: bytes, owner: tuple[int, int], mode: int) -> None:
    """Write a new file, durable, with owner and mode, in the place of what is left of an earlier one."""
    remove_file(host, path)
    descriptor = os.open(host.path(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fchown(stream.fileno(), *owner)
        os.fchmod(stream.fileno(), mode)
        os.fsync(stream.fileno())


def remove_file(host: Host, path: str) -> None:
    """Remove a file or link that may not be there."""
    try:
        os.unlink(host.path(path))
    except FileNotFoundError:
        return


def point(host: Host, path: str, target: str) -> None:
    """Make ``path`` a symbolic link to ``target`` in one step, whatever link was there."""
    new = beside(path)
    remove_file(host, new)
    os.symlink(target, host.path(new))
    os.replace(host.path(new), host.path(path))
    sync_folder(host, path)


def link_target(host: Host, path: str) -> str | None:
    """Return where the link ``path`` points; None when nothing is there; StateError when it is no link."""
    try:
        return os.readlink(host.path(path))
    except FileNotFoundError:
        return None
    except OSError:
        raise StateError(f"{path} should be a symbolic link and is something else: move it away") from None


def _look(host: Host, path: str) -> os.stat_result | None:
    try:
        return os.lstat(host.path(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _wanted(plan: Plan, item: dict[str, Any]) -> tuple[int, int, int]:
    return plan.uid(item["owner"]), plan.gid(item["group"]), int(item["mode"], 8)


def _attributes(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def _describe(attributes: tuple[int, int, int]) -> str:
    return f"owner: {attributes[0]}\ngroup: {attributes[1]}\nmode: {attributes[2]:04o}\n"


def plan_directories(plan: Plan, items: list[dict[str, Any]]) -> None:
    """Plan the directories ``{path, owner, group, mode}``, parents first as the document lists them."""
    host = plan.host
    for item in items:
        path = item["path"]
        found = _look(host, path)
        if found is not None and not stat.S_ISDIR(found.st_mode):
            raise StateError(f"{path} should be a directory and is something else: move it away")
        have = None if found is None else _attributes(found)
        want = _wanted(plan, item)
        if have == want:
            continue

        def act(
            path: str = path, have: tuple[int, int, int] | None = have, item: dict[str, Any] = item
        ) -> None:
            uid, gid, mode = _wanted(plan, item)
            if have is None:
                os.makedirs(host.path(path), 0o700, exist_ok=True)
            os.chown(host.path(path), uid, gid)
            os.chmod(host.path(path), mode)
            host.checkpoint()

        before = "" if have is None else _describe(have)
        action = "create" if have is None else "owner or mode"
        plan.changes.append(Change("directory", path, action, act, before=before, after=_describe(want)))


class _File:
    """A declared file whose content differs, between its preparation and its rename."""

    def __init__(
        self, item: dict[str, Any], content: bytes, old: bytes | None, have: tuple[int, int, int] | None
    ) -> None:
        self.item = item
        self.content = content
        self.old = old
        self.have = have


def plan_files(plan: Plan, items: list[dict[str, Any]]) -> None:
    """Plan the files ``{path, content, owner, group, mode, validate, show}``.

    ``validate`` is a command (list) that is run on the planned content, ``%s`` standing for its file. Names
    of other files of this plan in that content lead it to their planned content too.
    """
    host = plan.host
    pending: list[_File] = []
    late: list[Change] = []
    for item in items:
        path = item["path"]
        content = item["content"].encode("utf-8")
        plan.written[path] = sha256(content)
        found = _look(host, path)
        if found is not None and stat.S_ISDIR(found.st_mode):
            raise StateError(f"{path} should be a file and is a directory: move it away")
        regular = found is not None and stat.S_ISREG(found.st_mode)
        old = host.read(path) if regular else None
        have = _attributes(found) if found is not None and regular else None
        want = _wanted(plan, item)
        if old == content and have == want:
            if _look(host, beside(path)) is not None:
                late.append(Change("file", beside(path), "remove left-over", _remove(host, beside(path))))
            continue
        if old == content:
            late.append(_reown(plan, item, have, want))
            continue
        pending.append(_File(item, content, old, have))
        late.append(_replace(plan, pending[-1], want))
    if pending and not plan.check:
        plan.changes.append(
            Change("files", f"{len(pending)} to write", "prepare", lambda: _prepare(plan, pending))
        )
    plan.changes.extend(late)


def _remove(host: Host, path: str) -> Callable[[], None]:
    def act() -> None:
        remove_file(host, path)
        host.checkpoint()

    return act


def _reown(
    plan: Plan, item: dict[str, Any], have: tuple[int, int, int] | None, want: tuple[int, int, int]
) -> Change:
    path = item["path"]

    def act() -> None:
        uid, gid, mode = _wanted(plan, item)
        os.chown(plan.host.path(path), uid, gid)
        os.chmod(plan.host.path(path), mode)
        plan.host.checkpoint()

    before = "" if have is None else _describe(have)
    return Change("file", path, "owner or mode", act, before=before, after=_describe(want))


def _prepare(plan: Plan, pending: list[_File]) -> None:
    host = plan.host
    prepared = {}
    try:
        for file in pending:
            uid, gid, mode = _wanted(plan, file.item)
            prepared[file.item["path"]] = write_beside(
                host, file.item["path"], file.content, (uid, gid), mode
            )
        for file in pending:
            _validate(host, file.item, prepared)
    except Exception:
        for new in prepared.values():
            remove_file(host, new)
        raise


def _validate(host: Host, item: dict[str, Any], prepared: dict[str, str]) -> None:
    """Run the item's validator on a rehearsal copy, in which prepared files go by their prepared names."""
    command = item["validate"]
    if not command:
        return
    path = item["path"]
    content = item["content"]
    for name, new in prepared.items():
        content = content.replace(name, host.path(new)) if name != path else content
    copy = f"{beside(path)}-check"
    found = os.stat(host.path(prepared[path]))
    write(host, copy, content.encode("utf-8"), (found.st_uid, found.st_gid), stat.S_IMODE(found.st_mode))
    try:
        done = host.run(*[word.replace("%s", host.path(copy)) for word in command])
    finally:
        remove_file(host, copy)
    if done.status != 0:
        words = done.words.replace(host.path(copy), path)
        for name, new in prepared.items():
            words = words.replace(host.path(new), name)
        raise StateError(f"{path}: the planned content is refused, no file was replaced: {words}")


def _replace(plan: Plan, file: _File, want: tuple[int, int, int]) -> Change:
    host, path = plan.host, file.item["path"]

    def act() -> None:
        os.replace(host.path(beside(path)), host.path(path))
        sync_folder(host, path)
        host.checkpoint()

    def undo() -> None:
        if file.old is None or file.have is None:
            remove_file(host, path)
        else:
            os.replace(
                host.path(write_beside(host, path, file.old, file.have[:2], file.have[2])), host.path(path)
            )
        sync_folder(host, path)

    before, after = (file.old or b"").decode("utf-8", "replace"), file.item["content"]
    if not file.item.get("show", True):
        before, after = ("" if file.old is None else HIDDEN), "(new) " + HIDDEN
    if file.have is not None and file.have != want:
        before, after = _describe(file.have) + before, _describe(want) + after
    action = "create" if file.old is None else "content"
    return Change(
        "file",
        path,
        action,
        act,
        before=before,
        after=after,
        undo=undo,
        with_release=file.item["with_release"],
    )


def plan_absent(plan: Plan, paths: list[str]) -> None:
    """Plan the removal of files, links and empty directories."""
    host = plan.host
    for path in paths:
        found = _look(host, path)
        if found is None:
            continue

        def act(path: str = path, folder: bool = stat.S_ISDIR(found.st_mode)) -> None:  # noqa: FBT001 (bound)
            if folder:
                os.rmdir(host.path(path))
            else:
                remove_file(host, path)
            sync_folder(host, path)
            host.checkpoint()

        plan.changes.append(Change("absent", path, "remove", act, before="present\n", after="absent\n"))


def plan_only(plan: Plan, items: list[dict[str, Any]]) -> None:
    """Plan the removal of every file in the folder ``path`` whose name is not among ``names``."""
    for item in items:
        try:
            present = os.listdir(plan.host.path(item["path"]))
        except FileNotFoundError:
            continue
        plan_absent(plan, [f"{item['path']}/{name}" for name in sorted(set(present) - set(item["names"]))])


def plan_links(plan: Plan, items: list[dict[str, Any]]) -> None:
    """Plan the symbolic links ``{path, target}``, switched in one step."""
    host = plan.host
    for item in items:
        path, target = item["path"], item["target"]
        plan.links[path] = target
        have = link_target(host, path)
        if have == target:
            continue

        def act(path: str = path, target: str = target) -> None:
            point(host, path, target)
            host.checkpoint()

        before = "" if have is None else f"{have}\n"
        plan.changes.append(Change("link", path, "switch", act, before=before, after=f"{target}\n"))
