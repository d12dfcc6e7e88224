"""The lab's network: the router and the venues' namespace, the links of hosts, name and time service.

Everything is made inside namespaces of the lab; the machine's own network is never touched. Each step looks
first and does only what is missing, so that a second run repairs and a third does nothing.

A host's link is routed, not bridged: the router answers ARP for every other address of the subnet, as a cloud
does, so that packets between hosts of one subnet meet the security groups too.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from infra.lab.cages import Cage
from infra.lab.commands import CommandError, run, succeeds
from infra.lab.rules import METADATA_SERVER, NAME_SERVER, OUTSIDE, TIME_SERVER, HostPolicy, ruleset
from infra.lab.settings import LabError, LabSettings
from infra.lab.spawn import start

ELASTIC_POOL = IPv4Network("198.51.100.0/24")
VENUES_NETWORK = IPv4Network("203.0.113.0/24")
VENUES_GATEWAY = IPv4Address("203.0.113.1")
VENUES_OWN = IPv4Address("203.0.113.2")
"""The address that the venues' namespace has without any venue."""
NAMESPACES = Path("/run/netns")

INOTIFY_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_NEEDED = 1024
"""The kernel's default of 128 for each user is used up by about 20 hosts, and then boots hang."""

INOTIFY_FORMER = Path("/run/slipway-inotify-former")
"""The value before a lab raised it. Like the value itself, the note does not outlive a reboot."""


@dataclass(frozen=True)
class Link:
    """How one host is connected."""

    instance: str
    address: IPv4Interface
    """Private address with the subnet's prefix length."""

    @property
    def interface(self) -> str:
        """The router's end; interface names have at most 15 characters."""
        return f"h{self.instance[-12:]}"

    @property
    def gateway(self) -> IPv4Address:
        """The subnet's router: its first address, as AWS has it."""
        return self.address.network.network_address + 1


class Fabric:
    """The network of one lab."""

    def __init__(self, settings: LabSettings) -> None:
        self.settings = settings

    def ensure(self, names: dict[str, IPv4Address]) -> None:
        """Bring up router, venues' namespace, name and time service; the name server knows ``names``."""
        router, venues = self.settings.router, self.settings.venues
        for namespace in (router, venues):
            ensure_namespace(namespace)
        _set(router, "net.ipv4.ip_forward", 1)
        _set(router, "net.ipv6.conf.all.disable_ipv6", 1)
        _set(router, "net.ipv6.conf.default.disable_ipv6", 1)
        for service in (NAME_SERVER, TIME_SERVER, METADATA_SERVER):
            run("ip", "-n", router, "address", "replace", f"{service}/32", "dev", "lo")
        if not has_interface(router, OUTSIDE) or not has_interface(venues, "eth0"):
            _delete_interface(router, OUTSIDE)
            run(
                "ip",
                "-n",
                router,
                "link",
                "add",
                OUTSIDE,
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                venues,
            )
        run("ip", "-n", router, "address", "replace", _with_length(VENUES_GATEWAY), "dev", OUTSIDE)
        run("ip", "-n", router, "link", "set", OUTSIDE, "up")
        run("ip", "-n", venues, "link", "set", "eth0", "up")
        for address in sorted({VENUES_OWN, *names.values()}):
            run("ip", "-n", venues, "address", "replace", _with_length(address), "dev", "eth0")
        run("ip", "-n", venues, "route", "replace", "default", "via", str(VENUES_GATEWAY))
        if not succeeds("nft", "list", "table", "inet", "slipway", netns=router):
            self.load([])
        self._ensure_name_server(names)
        self._ensure_time_server()

    def load(self, hosts: list[HostPolicy]) -> str:
        """Load the firewall for these hosts in one transaction and return its text."""
        text = ruleset(hosts)
        run("nft", "-f", "-", stdin=text, netns=self.settings.router)
        return text

    def connect(self, link: Link) -> str:
        """Give a host its namespace, ``eth0`` and routes; return the namespace's name."""
        router = self.settings.router
        namespace = self.settings.namespace(link.instance)
        ensure_namespace(namespace)
        if not has_interface(namespace, "eth0") or not has_interface(router, link.interface):
            _delete_interface(router, link.interface)
            run(
                *("ip", "-n", router, "link", "add", link.interface, "type", "veth"),
                *("peer", "name", "eth0", "netns", namespace),
            )
        _set(router, f"net.ipv4.conf.{link.interface}.proxy_arp", 1)
        _set(router, f"net.ipv4.neigh.{link.interface}.proxy_delay", 0)
        run("ip", "-n", router, "address", "replace", f"{link.gateway}/32", "dev", "lo")
        run("ip", "-n", router, "link", "set", link.interface, "up")
        route = (f"{link.address.ip}/32", "dev", link.interface, "src", str(link.gateway))
        run("ip", "-n", router, "route", "replace", *route)
        run("ip", "-n", namespace, "address", "replace", str(link.address), "dev", "eth0")
        run("ip", "-n", namespace, "link", "set", "eth0", "up")
        run("ip", "-n", namespace, "route", "replace", "default", "via", str(link.gateway))
        return namespace

    def disconnect(self, instance: str) -> None:
        """Remove a host's namespace and link; harmless when they are gone."""
        remove_namespace(self.settings.namespace(instance))
        if namespace_usable(self.settings.router):
            _delete_interface(self.settings.router, f"h{instance[-12:]}")

    def namespaces(self) -> list[str]:
        """Return the namespaces that bear this lab's prefix."""
        if not NAMESPACES.is_dir():
            return []
        return sorted(
            path.name for path in NAMESPACES.iterdir() if path.name.startswith(f"{self.settings.prefix}-")
        )

    def remove(self) -> None:
        """Remove every namespace of this lab, and with them links, rules and addresses."""
        for namespace in self.namespaces():
            remove_namespace(namespace)

    def _ensure_name_server(self, names: dict[str, IPv4Address]) -> None:
        directory = self.settings.directory / "names"
        directory.mkdir(parents=True, exist_ok=True)
        config = [
            "no-resolv",
            "no-hosts",
            "no-poll",
            "bind-interfaces",
            f"listen-address={NAME_SERVER}",
            "cache-size=0",
            "local-ttl=5",
            *(f"host-record={name},{address}" for name, address in sorted(names.items())),
        ]
        text = "\n".join([*config, ""])
        path = directory / "dnsmasq.conf"
        cage = Cage.of(self.settings, "names")
        if not cage.empty() and path.exists() and path.read_text(encoding="utf-8") == text:
            return
        cage.kill()
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)
        start(
            cage,
            [
                *("ip", "netns", "exec", self.settings.router),
                *("dnsmasq", "--keep-in-foreground", "--pid-file=", "--user=root", f"--conf-file={path}"),
                "--log-facility=-",
            ],
            directory / "dnsmasq.log",
        )
        self._await_socket("dnsmasq", "udp", NAME_SERVER, 53, directory / "dnsmasq.log")

    def _ensure_time_server(self) -> None:
        directory = self.settings.directory / "time"
        directory.mkdir(parents=True, exist_ok=True)
        cage = Cage.of(self.settings, "time")
        if not cage.empty():
            return
        path = directory / "chrony.conf"
        lines = [
            f"bindaddress {TIME_SERVER}",
            "bindcmdaddress /",
            "cmdport 0",
            f"pidfile {directory}/chronyd.pid",
            "local stratum 3",
            "allow",
            "user root",
        ]
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
        (directory / "chronyd.pid").unlink(missing_ok=True)
        # -x: serve the machine's clock, never set it.
        command = ["ip", "netns", "exec", self.settings.router, "chronyd", "-x", "-d", "-f", str(path)]
        start(cage, command, directory / "chronyd.log")
        self._await_socket("chronyd", "udp", TIME_SERVER, 123, directory / "chronyd.log")

    def _await_socket(self, what: str, protocol: str, address: IPv4Address, port: int, log: Path) -> None:
        """Wait until a service of the router listens, by what the kernel says."""
        deadline = time.monotonic() + 20.0
        wanted = f"{address}:{port}"
        while wanted not in run("ss", "-Hln", f"--{protocol}", netns=self.settings.router):
            if time.monotonic() > deadline:
                raise LabError(f"{what} does not listen on {wanted} in {self.settings.router}: see {log}")
            time.sleep(0.02)


def raise_inotify_limit() -> None:
    """Raise the machine's inotify limit if it is too low, noting the former value first."""
    former = int(INOTIFY_LIMIT.read_text())
    if former < INOTIFY_NEEDED:
        if not INOTIFY_FORMER.exists():
            INOTIFY_FORMER.write_text(f"{former}\n")
        INOTIFY_LIMIT.write_text(str(INOTIFY_NEEDED))


def restore_inotify_limit() -> None:
    """Put the inotify limit back, unless someone else has changed it since."""
    if INOTIFY_FORMER.exists():
        if int(INOTIFY_LIMIT.read_text()) == INOTIFY_NEEDED:
            INOTIFY_LIMIT.write_text(INOTIFY_FORMER.read_text())
        INOTIFY_FORMER.unlink()


def namespace_usable(name: str) -> bool:
    """Tell whether a namespace is really there (its file alone proves nothing after a crash)."""
    return (NAMESPACES / name).exists() and succeeds("ip", "-n", name, "link", "show", "lo")


def ensure_namespace(name: str) -> None:
    """Make a network namespace with its loopback up, and put a broken remainder out of the way."""
    if not namespace_usable(name):
        remove_namespace(name)
        run("ip", "netns", "add", name)
    run("ip", "-n", name, "link", "set", "lo", "up")


def remove_namespace(name: str) -> None:
    """Remove a namespace; harmless when it is gone."""
    path = NAMESPACES / name
    if not path.exists():
        return
    try:
        run("ip", "netns", "delete", name)
    except CommandError:
        with contextlib.suppress(CommandError):
            run("umount", "--lazy", str(path))
        path.unlink(missing_ok=True)


def has_interface(namespace: str, name: str) -> bool:
    """Tell whether a namespace has an interface of this name."""
    links = json.loads(run("ip", "-n", namespace, "-json", "link", "show") or "[]")
    return any(link.get("ifname") == name for link in links)


def _delete_interface(namespace: str, name: str) -> None:
    if has_interface(namespace, name):
        with contextlib.suppress(CommandError):
            run("ip", "-n", namespace, "link", "delete", name)


def _with_length(address: IPv4Address) -> str:
    return f"{address}/{VENUES_NETWORK.prefixlen}"


def _set(namespace: str, key: str, value: int) -> None:
    path = "/proc/sys/" + "/".join(part.replace("/", ".") for part in key.split("."))
    run("sh", "-c", f"test ! -e {path} || echo {value} > {path}", netns=namespace)
