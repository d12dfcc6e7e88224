"""The host as the core sees it: its files, its accounts and the programs it may run."""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": "/root"}


class StateError(Exception):
    """Something that a person has to put right; the message names the thing and what to do."""


class Finished:
    """How a program ended: exit status, standard output and standard error as text."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err

    @property
    def words(self) -> str:
        """What the program said, for an error message: standard error first, output when that is empty."""
        return (self.err.strip() or self.out.strip() or f"exit status {self.status}")[-2000:]


class Running:
    """A program that was started. Its streams are memory files: nothing blocks, nothing leaks to disk."""

    def __init__(self, argv: Sequence[str], stdin: bytes | None = None) -> None:
        self._argv = argv
        self._pid = 0
        self._out = os.memfd_create("out")
        self._err = os.memfd_create("err")
        source = os.memfd_create("in")
        if stdin:
            os.write(source, stdin)
            os.lseek(source, 0, os.SEEK_SET)
        try:
            self._pid = os.posix_spawnp(
                argv[0],
                list(argv),
                ENVIRONMENT,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, source, 0),
                    (os.POSIX_SPAWN_DUP2, self._out, 1),
                    (os.POSIX_SPAWN_DUP2, self._err, 2),
                ],
            )
        except FileNotFoundError:
            pass
        finally:
            os.close(source)

    def finish(self) -> Finished:
        """Wait for the end. A program that is not installed counts as exit status 127."""
        if not self._pid:
            status = 127
            os.write(self._err, f"{self._argv[0]}: not installed on this host".encode())
        else:
            status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return Finished(status, _drain(self._out), _drain(self._err))


def _drain(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb") as stream:
        return stream.read().decode("utf-8", "replace")


class Host:
    """Where files are looked for (``root``, a prefix that only tests set) and how programs are run.

    ``stop_after`` is a test hook: the process kills itself at that checkpoint, as a lost power line would.
    """

    def __init__(
        self,
        root: str = "",
        start: Callable[[Sequence[str], bytes | None], Running] = Running,
        stop_after: int | None = None,
    ) -> None:
        self.root = root
        self.start = start
        self.stop_after = stop_after
        self.checkpoints = 0
        self._accounts: dict[str, dict[str, list[str]]] = {}

    def path(self, name: str) -> str:
        """Return the place of the host's absolute path ``name``."""
        return self.root + name

    def read(self, name: str) -> bytes:
        """Return the bytes of the file ``name``; OSError as usual."""
        with open(self.path(name), "rb") as stream:
            return stream.read()

    def run(self, *argv: str, stdin: bytes | None = None) -> Finished:
        """Run a program without a shell in a fixed environment and return how it ended."""
        return self.start(argv, stdin).finish()

    def must(self, *argv: str, stdin: bytes | None = None) -> str:
        """Run a program that has to succeed and return its output; StateError with its words otherwise."""
        done = self.run(*argv, stdin=stdin)
        if done.status != 0:
            raise StateError(f"{' '.join(argv)}: {done.words}")
        return done.out

    def checkpoint(self) -> None:
        """Mark that one more thing on the host has changed (where an interruption may come)."""
        self.checkpoints += 1
        if self.stop_after is not None and self.checkpoints >= self.stop_after:
            os.kill(os.getpid(), signal.SIGKILL)

    def accounts(self, database: str) -> dict[str, list[str]]:
        """Return every entry of /etc/passwd or /etc/group by name, as its fields."""
        table = self._accounts.get(database)
        if table is None:
            lines = self.read(f"/etc/{database}").decode("utf-8").splitlines()
            table = {line.split(":", 1)[0]: line.split(":") for line in lines if line.count(":") >= 3}
            self._accounts[database] = table
        return table

    def forget_accounts(self) -> None:
        """Read the account databases again at the next question (after they were changed)."""
        self._accounts.clear()
