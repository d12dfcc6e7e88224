#!/usr/bin/python3
"""Verify and unpack a signed engine release on the host."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
---
module: unpack_release
short_description: Verify and unpack a signed engine release
description:
  - Checks the archive's hash and minisign signature, unpacks it beside its place, checks every file against
    the manifest, builds the virtual environments of this host's connectors from their own wheels, and only
    then gives it its name, in one step. Nothing that runs is touched; M(slipway.host.state) switches.
  - Removes releases that are neither wanted, current, previous nor running, keeping the newest.
options:
  archive:
    description: The archive on the host, its signature beside it (C(.minisig)). Both are removed.
    type: path
    required: true
  root:
    description: Where releases live.
    type: path
    default: /opt/slipway
  id:
    description: The release's name, VERSION-SHA12.
    type: str
    required: true
  sha256:
    description: The archive's hash as the control machine pinned it.
    type: str
    required: true
  trusted_comment:
    description: The signed comment as the control machine read it.
    type: str
    required: true
  public_key:
    description: The minisign public key on the host.
    type: path
    default: /etc/slipway/release.pub
  connectors:
    description:
      - Venues whose connectors run on this host as processes of their own; only for these is an environment
        built. A release that is there already gets those that it lacks.
    type: list
    elements: str
    default: []
  keep:
    description: How many other releases are kept.
    type: int
    default: 3
attributes:
  check_mode:
    description: Predicts.
    support: full
author:
  - slipway (@slipway)
version_added: 0.1.0
"""

EXAMPLES = """
- name: Unpack a release
  slipway.host.unpack_release:
    archive: /opt/slipway/incoming/engine-0.1.0-linux-x86_64.tar.zst
    id: 0.1.0-0123456789ab
    sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    trusted_comment: slipway-release name=engine version=0.1.0 target=linux-x86_64 sha256=0123…
"""

RETURN = """
pruned:
  description: Names of releases that were removed.
  type: list
  elements: str
  returned: success
"""

CHUNK = 1 << 20

READY = ".ready"
"""Lies in a connector's folder once its environment is whole; the connector's units require it."""


class ReleaseError(Exception):
    """The release is not accepted; the message says why. What runs keeps running."""


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def run(argv: list[str], what: str) -> str:
    """Run a program that has to succeed; ReleaseError with its words otherwise."""
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise ReleaseError(f"{what}: {(done.stderr.strip() or done.stdout.strip())[-2000:]}")
    return done.stdout


def verify(archive: Path, sha256: str, public_key: Path, trusted_comment: str) -> None:
    """Refuse an archive that is not, byte for byte, the one that was signed and pinned."""
    found = file_hash(archive)
    if found != sha256:
        raise ReleaseError(
            f"{archive.name} has sha256 {found[:12]}, the signature is for {sha256[:12]}: "
            f"the archive was altered or cut short; fetch it again or build it anew"
        )
    said = run(
        ["minisign", "-V", "-Q", "-p", str(public_key), "-x", f"{archive}.minisig", "-m", str(archive)],
        f"{archive.name}: its signature is not good under {public_key}",
    ).strip()
    if said != trusted_comment:
        raise ReleaseError(f"{archive.name}: its signed comment is {said!r}, pinned is {trusted_comment!r}")


def extract(archive: Path, folder: Path) -> None:
    """Unpack regular files and directories with safe names; anything else is refused."""
    unpacker = subprocess.Popen(
        ["zstd", "-dc", str(archive)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        with tarfile.open(fileobj=unpacker.stdout, mode="r|") as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts:
                    raise ReleaseError(f"{archive.name}: it holds the unsafe name {member.name!r}")
                if not (member.isdir() or member.isreg()):
                    raise ReleaseError(f"{archive.name}: {member.name} is neither a file nor a directory")
                place = folder / name
                if member.isdir():
                    place.mkdir(mode=0o755, parents=True, exist_ok=True)
                    continue
                place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                source = tar.extractfile(member)
                if source is None:
                    raise ReleaseError(f"{archive.name}: {member.name} cannot be read")
                with place.open("xb") as target:
                    shutil.copyfileobj(source, target, CHUNK)
                    os.fchmod(target.fileno(), 0o755 if member.mode & 0o111 else 0o644)
    except tarfile.TarError as error:
        raise ReleaseError(f"{archive.name}: it is not a readable archive: {error}") from None
    finally:
        if unpacker.stdout is not None:
            unpacker.stdout.close()
        status = unpacker.wait()
    if status != 0:
        raise ReleaseError(f"{archive.name}: zstd ended with status {status}: the archive is damaged")


def check_files(folder: Path) -> dict[str, Any]:
    """Return the manifest, refusing files that it does not name, misses or names with another hash."""
    try:
        manifest: dict[str, Any] = json.loads((folder / "release.json").read_text(encoding="utf-8"))
        named = dict(manifest["files"])
    except (OSError, ValueError, KeyError) as error:
        raise ReleaseError(f"release.json cannot be used: {error}") from None
    present = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {
        "release.json"
    }
    if wrong := sorted(present ^ set(named)):
        raise ReleaseError(f"files and manifest differ: {', '.join(wrong[:5])}")
    for name, sha256 in named.items():
        if (found := file_hash(folder / name)) != sha256:
            raise ReleaseError(f"{name} has sha256 {found[:12]}, the manifest says {str(sha256)[:12]}")
    return manifest


def homes(folder: Path, manifest: dict[str, Any], venues: list[str]) -> list[Path]:
    """Return the folders of the connectors that are processes of their own and run on this host."""
    return [
        (folder / connector["executable"]).parent
        for connector in manifest["connectors"]
        if connector["kind"] == "process" and connector["venue"] in venues
    ]


def make_environment(home: Path) -> None:
    """Build ``venv`` beside a connector that brings requirements.txt, from its own wheels; mark it ready.

    pip comes from Debian's own wheel: to install pip into the environment first, only to leave it there,
    takes a host ten seconds of CPU.
    """
    if (home / "requirements.txt").is_file():
        what = f"connector {home.name}"
        shutil.rmtree(home / "venv", ignore_errors=True)
        run(
            ["/usr/bin/python3", "-I", "-m", "venv", "--without-pip", str(home / "venv")],
            f"{what}: no virtual environment",
        )
        pip = [
            str(home / "venv" / "bin" / "python"),
            "-I",
            str(pip_wheel() / "pip"),
            "--disable-pip-version-check",
        ]
        install = ["install", "--quiet", "--no-cache-dir", "--no-index", "--no-deps", "--require-hashes"]
        wheels = ["--only-binary", ":all:", "--find-links", str(home / "wheels")]
        run(
            [*pip, *install, *wheels, "-r", str(home / "requirements.txt")],
            f"{what}: its wheels do not install",
        )
        sync(home)
    (home / READY).touch()


def pip_wheel() -> Path:
    """Return the wheel that Debian's python3-venv keeps pip in."""
    found = sorted(Path("/usr/share/python-wheels").glob("pip-*.whl"))
    if not found:
        raise ReleaseError(
            "there is no pip wheel in /usr/share/python-wheels: install the package python3-venv"
        )
    return found[-1]


def sync(folder: Path) -> None:
    """Make everything under ``folder`` durable before it gets its name: one call, not one for each file."""
    run(["/usr/bin/sync", "--file-system", str(folder)], f"{folder} cannot be written out")


def prune(root: Path, wanted: str, keep: int) -> list[str]:
    """Return releases that may go: not wanted, current, previous, running or among the newest ``keep``."""
    held = {wanted}
    for link in ("current", "previous"):
        if (root / link).is_symlink():
            held.add((root / link).readlink().name)
    for executable in Path("/proc").glob("[0-9]*/exe"):
        try:
            target = executable.readlink()
        except OSError:
            continue
        if target.is_relative_to(root / "releases"):
            held.add(target.relative_to(root / "releases").parts[0])
    others = [path for path in (root / "releases").iterdir() if path.name not in held]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [path.name for path in others[keep:]]


def unpack(archive: Path, staging: Path, place: Path, venues: list[str]) -> None:
    """Make the whole release under another name, then give it its own in one step."""
    shutil.rmtree(staging, ignore_errors=True)
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    staging.mkdir(mode=0o755)
    try:
        extract(archive, staging)
        for home in homes(staging, check_files(staging), venues):
            make_environment(home)
        sync(staging)
        staging.rename(place)
        sync_parent = os.open(place.parent, os.O_RDONLY)
        os.fsync(sync_parent)
        os.close(sync_parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def complete(place: Path, venues: list[str]) -> bool:
    """Tell whether the release is there with all that this host runs of it."""
    if not (place / "release.json").is_file():
        return False
    manifest = json.loads((place / "release.json").read_text(encoding="utf-8"))
    return all((home / READY).exists() for home in homes(place, manifest, venues))


def install(module: AnsibleModule) -> list[str]:
    """Do the work and return the names of releases that were pruned."""
    root, wanted, archive = Path(module.params["root"]), module.params["id"], Path(module.params["archive"])
    venues, place = module.params["connectors"], root / "releases" / wanted
    if not (place / "release.json").is_file():
        public_key, comment = Path(module.params["public_key"]), module.params["trusted_comment"]
        verify(archive, module.params["sha256"], public_key, comment)
        unpack(archive, root / ".staging", place, venues)
    for home in homes(place, json.loads((place / "release.json").read_text(encoding="utf-8")), venues):
        if not (home / READY).exists():
            make_environment(home)
            sync(home)
    pruned = prune(root, wanted, module.params["keep"])
    for name in pruned:
        shutil.rmtree(root / "releases" / name)
    return pruned


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "archive": {"type": "path", "required": True},
            "root": {"type": "path", "default": "/opt/slipway"},
            "id": {"type": "str", "required": True},
            "sha256": {"type": "str", "required": True},
            "trusted_comment": {"type": "str", "required": True},
            "public_key": {"type": "path", "default": "/etc/slipway/release.pub"},
            "connectors": {"type": "list", "elements": "str", "default": []},
            "keep": {"type": "int", "default": 3},
        },
        supports_check_mode=True,
    )
    place = Path(module.params["root"]) / "releases" / module.params["id"]
    archive = Path(module.params["archive"])
    os.umask(0o022)
    pruned: list[str] = []
    changed = not complete(place, module.params["connectors"])
    try:
        if changed and not module.check_mode:
            pruned = install(module)
    except ReleaseError as error:
        module.fail_json(msg=f"release {module.params['id']}: {error}. What runs keeps running")
    finally:
        if not module.check_mode:
            archive.unlink(missing_ok=True)
            Path(f"{archive}.minisig").unlink(missing_ok=True)
    module.exit_json(changed=changed, pruned=pruned)


if __name__ == "__main__":
    main()
