"""Keeping hosts and firewall what the account says, whatever happened before (level-triggered).

Desired: moto's instances, security groups, addresses and routes. Actual: the host driver's directories and
processes, the router's table. Each pass compares the two and starts what is missing; nothing depends on
having seen the call that changed something.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from infra.lab.cloud import view
from infra.lab.cloud.view import Wanted
from infra.lab.fabric import Fabric
from infra.lab.nspawn import STOP_S, Hosts
from infra.lab.rules import ruleset
from infra.lab.settings import LabError

log = logging.getLogger(__name__)

STATES = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}
ON = {"pending", "running"}
GONE = {"shutting-down", "terminated"}

PASS_S = 1.0
"""A pass is made at least this often, so that a host that switched itself off is noticed."""


def set_state(instance: Any, name: str) -> None:
    """Set an instance's state; the caller holds the server's lock."""
    instance.instance_state.name = name
    instance.instance_state.code = STATES[name]


class Reconciler:
    """One thread that compares, and a thread for each host that is being changed."""

    def __init__(self, hosts: Hosts, fabric: Fabric, lock: threading.RLock) -> None:
        self._hosts = hosts
        self._fabric = fabric
        self._lock = lock
        self._starting = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._busy: dict[str, threading.Thread] = {}
        self._powered: set[str] = set()
        self._loaded = ""
        self._thread = threading.Thread(target=self._loop, name="reconcile", daemon=True)
        self.failures: dict[str, str] = {}
        """Hosts that could not be made what they should be, with the reason."""

    def begin(self) -> None:
        """Start; what an earlier daemon left behind is removed by the first pass."""
        self._powered = {name for name in self._hosts.known() if self._hosts.running(name)}
        self._thread.start()

    def finish(self) -> None:
        """Stop comparing and wait for the changes under way."""
        self._stopping.set()
        self._wake.set()
        for thread in [self._thread, *self._busy.values()]:
            thread.join(timeout=STOP_S)

    def wake(self) -> None:
        """Ask for a pass now."""
        self._wake.set()

    def apply_rules(self) -> None:
        """Bring the firewall up to date before the present call ends; the caller holds the server's lock."""
        policies = [one.policy for one in view.instances() if one.state in ON]
        text = ruleset(policies)
        if text != self._loaded:
            self._fabric.load(policies)
            self._loaded = text

    def reboot(self, instance_id: str) -> None:
        """Restart a host in order."""
        self._change(instance_id, "reboot", partial(self._hosts.reboot, instance_id))

    def settled(self) -> bool:
        """Tell whether every host is what it should be."""
        with self._lock:
            wanted = view.instances()
            names = {one.instance.id for one in wanted if one.state not in GONE}
            moving = {"pending", "stopping", "shutting-down"}
            return (
                not any(thread.is_alive() for thread in self._busy.values())
                and not any(one.state in moving for one in wanted)
                and set(self._hosts.known()) <= names
            )

    def settle(self, seconds: float) -> bool:
        """Wait until every host is what it should be; False when it took longer."""
        deadline = time.monotonic() + seconds
        self.wake()
        while not self.settled():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def _loop(self) -> None:
        while not self._stopping.is_set():
            try:
                self._compare()
            except Exception:
                log.exception("a comparison failed; it is tried again")
            self._wake.wait(PASS_S)
            self._wake.clear()

    def _compare(self) -> None:
        with self._lock:
            wanted = {one.instance.id: one for one in view.instances()}
            self.apply_rules()
        known = self._hosts.known()
        for name, one in wanted.items():
            if self._is_busy(name):
                continue
            running = name in known and self._hosts.running(name)
            if one.state in ON and not running:
                if name in self._powered:
                    self._powered_off(one)
                elif one.state == "pending":
                    self._change(name, "boot", partial(self._boot, one))
            elif one.state == "pending":
                self._change(name, "boot", partial(self._boot, one))
            elif one.state in {"stopping", "stopped"} and (running or one.state == "stopping"):
                self._change(name, "stop", partial(self._stop, one))
            elif one.state in GONE and (name in known or one.state == "shutting-down"):
                self._change(name, "terminate", partial(self._terminate, one))
        for name in known:
            if name not in wanted and not self._is_busy(name):
                log.warning("host %s belongs to no instance (an earlier cloud's): removing it", name)
                self._change(name, "remove", partial(self._hosts.terminate, name))

    def _boot(self, one: Wanted) -> None:
        name = one.spec.instance
        begun = time.monotonic()
        try:
            self._refuse_overlap(one)
            self._hosts.create(one.spec)
            self._hosts.start(name)
        except (LabError, OSError) as error:
            self._failed(one, str(error))
            return
        self._powered.add(name)
        self._move(one.instance, "pending", "running")
        log.info("host %s (%s) answers after %.2f s", name, one.spec.name, time.monotonic() - begun)

    def _stop(self, one: Wanted) -> None:
        self._powered.discard(one.spec.instance)
        self._hosts.stop(one.spec.instance)
        self._move(one.instance, "stopping", "stopped")
        log.info("host %s is off", one.spec.instance)

    def _terminate(self, one: Wanted) -> None:
        self._powered.discard(one.spec.instance)
        self._hosts.terminate(one.spec.instance)
        self._move(one.instance, "shutting-down", "terminated")
        log.info("host %s is gone", one.spec.instance)

    def _powered_off(self, one: Wanted) -> None:
        """Note that a host switched itself off, as AWS does (behaviour ``stop`` or ``terminate``)."""
        self._powered.discard(one.spec.instance)
        log.warning("host %s switched itself off", one.spec.instance)
        with self._lock:
            if one.instance.instance_initiated_shutdown_behavior == "terminate":
                one.instance.terminate()
                set_state(one.instance, "shutting-down")
            else:
                one.instance.stop()
            one.instance.state_reason.code = "Client.InstanceInitiatedShutdown"
            one.instance.state_reason.message = (
                "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
            )

    def _failed(self, one: Wanted, reason: str) -> None:
        """Give up a host that does not boot: ``terminated`` with the reason, as a failed launch on AWS."""
        log.error("host %s cannot be started: %s", one.spec.instance, reason)
        self.failures[one.spec.instance] = reason
        with self._lock:
            one.instance.terminate()
            set_state(one.instance, "shutting-down")
            one.instance.state_reason.code = "Server.InternalError"
            one.instance.state_reason.message = f"Server.InternalError: {reason}"

    def _refuse_overlap(self, one: Wanted) -> None:
        """Refuse an address that another VPC's host has: the lab has one router, and so one address space."""
        for other in self._hosts.known().values():
            if other.instance != one.spec.instance and other.address.ip == one.spec.address.ip:
                raise LabError(
                    f"private address {one.spec.address.ip} is already that of host {other.instance} in "
                    f"{other.region}: in the lab the networks of all VPCs must be disjoint"
                )

    def _move(self, instance: Any, former: str, state: str) -> None:
        """Finish a change of state, unless the account has asked for another one meanwhile."""
        with self._lock:
            if instance.instance_state.name == former:
                set_state(instance, state)
        self.wake()

    def _is_busy(self, name: str) -> bool:
        thread = self._busy.get(name)
        return thread is not None and thread.is_alive()

    def _change(self, name: str, what: str, action: Callable[[], None]) -> None:
        """Do something to a host behind this call, after whatever is being done to it now."""
        with self._starting:
            former = self._busy.get(name)

            def work() -> None:
                if former is not None:
                    former.join()
                try:
                    action()
                except Exception as error:
                    log.exception("host %s: %s failed", name, what)
                    self.failures[name] = f"{what}: {error}"

            thread = threading.Thread(target=work, name=f"{what}-{name}", daemon=True)
            self._busy[name] = thread
            thread.start()
