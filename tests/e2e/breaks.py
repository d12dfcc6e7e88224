"""What is wrong with a host, and which checks must then fail: at least one break for every check.

Breaks of one batch do not disturb each other, so that they are made together and one verification judges
them all. ``undo`` is empty where the next converge has to put the host right.
"""

from __future__ import annotations

from dataclasses import dataclass

from .stage import BINANCE, POLYMARKET


@dataclass(frozen=True)
class Break:
    """One thing that is wrong on one host.

    ``checks`` (``file::function`` without ``test_``) are what it is made for, ``collateral`` what cannot
    pass then either.
    """

    host: str
    checks: tuple[str, ...]
    do: str
    undo: str = ""
    collateral: tuple[str, ...] = ()


ENGINE_UNIT = "/etc/systemd/system/slipway-engine.service"
CONNECTOR_UNIT = "/etc/systemd/system/slipway-connector@.service"
CONNECTOR = "slipway-connector@polymarket.service"
CREDENTIALS = "/run/credentials"
SSHD = "/etc/ssh/sshd_config.d/10-slipway.conf"
LOOSEN = (
    "s/^(ProtectSystem|PrivateDevices|PrivateTmp|ProtectHome|ProtectKernelTunables|PrivateUsers)=.*/\\1=no/;"
    "s/^SystemCallFilter=.*//;s/^RestrictAddressFamilies=.*//"
)
"""Takes enough of a unit's sandbox away for its exposure to rise over the limit."""


def listener(unit: str, address: str, port: int) -> str:
    """Return the command that listens on an address as a unit of its own."""
    code = f"import socket,time; s=socket.create_server(('{address}', {port})); time.sleep(3600)"
    wait = f"until ss -Hltn 'sport = :{port}' | grep -q .; do :; done"
    return f'systemd-run --quiet --collect --unit={unit} python3 -c "{code}"; {wait}'


def crash(unit: str) -> str:
    """Return the command that kills a unit's process and waits for the one that systemd starts anew."""
    return (
        f"systemctl kill --kill-whom=main -s KILL {unit}; "
        f"until [ $(systemctl show -P NRestarts {unit}) = 1 ] && systemctl -q is-active {unit}; do :; done"
    )


def rule(text: str) -> str:
    """Return the command that puts a rule before all others of the host's output chain."""
    return f"nft insert rule inet slipway output {text}"


# Changed behind the plan's back; the converge finds and mends each.
DRIFT = (
    Break(BINANCE, ("base::hostname_is_the_plans",), "hostname elsewhere"),
    Break(
        BINANCE,
        ("base::users_have_the_planned_uids_and_no_shell",),
        "usermod --shell /bin/bash slipway-engine",
    ),
    Break(
        BINANCE,
        tuple(
            f"base::sshd_runs_hardened[{key}]"
            for key in (
                "passwordauthentication",
                "kbdinteractiveauthentication",
                "permitrootlogin",
                "x11forwarding",
                "allowagentforwarding",
                "permitemptypasswords",
                "authenticationmethods",
            )
        ),
        "sed -Ei 's/^(PasswordAuthentication|KbdInteractiveAuthentication|PermitRootLogin|X11Forwarding"
        f"|AllowAgentForwarding|PermitEmptyPasswords) no/\\1 yes/;/^AuthenticationMethods/d' {SSHD}",
    ),
    Break(BINANCE, ("engine::unit_is_active_and_enabled",), "systemctl -q disable slipway-engine"),
    Break(BINANCE, ("connector::configuration_belongs_to_root",), "chmod o+r /etc/slipway/engine.json"),
    Break(BINANCE, ("release::release_files_belong_to_root",), "chown admin /etc/slipway/release.pub"),
    Break(BINANCE, ("risk::limits_are_roots_and_read_only",), "chmod 0666 /etc/slipway/limits.json"),
    Break(BINANCE, ("risk::permit_directory_is_in_memory_and_roots",), "chmod 0777 /run/slipway"),
    Break(BINANCE, ("risk::kill_and_arm_are_roots_programs",), "chmod 0777 /usr/local/sbin/slipway-kill"),
    Break(
        BINANCE,
        ("credentials::stored_encrypted_and_root_only", "credentials::no_value_leaks_into_any_sink"),
        f"cp {CREDENTIALS}/slipway-engine.service/binance_api_key /etc/credstore.encrypted/binance_api_key; "
        "chmod 0600 /etc/credstore.encrypted/binance_api_key",
    ),
    Break(
        BINANCE,
        ("engine::metrics_are_served_on_loopback",),
        rule("oif lo tcp dport 9464 reject with tcp reset"),
        collateral=("risk::the_engine_runs_under_these_limits",),
    ),
    Break(
        BINANCE,
        ("firewall::planned_destinations_are_open",),
        rule("meta skuid slipway-engine tcp dport 9443 ct state new reject with tcp reset"),
    ),
    Break(
        POLYMARKET,
        ("base::journal_is_bounded",),
        "sed -i /^SystemMaxUse/d /etc/systemd/journald.conf.d/slipway.conf",
    ),
    Break(POLYMARKET, ("firewall::nftables_runs_and_is_enabled",), "systemctl -q disable nftables"),
    Break(
        POLYMARKET,
        ("firewall::every_base_chain_drops_by_default",),
        "nft chain inet slipway output '{ policy accept ; }'",
    ),
    Break(
        POLYMARKET,
        ("firewall::other_destinations_are_refused_at_once",),
        rule("ip daddr 192.0.2.1 accept"),
    ),
    Break(
        POLYMARKET,
        ("firewall::metadata_is_out_of_reach_of_the_engine",),
        rule("ip daddr 169.254.169.254 drop"),
    ),
    Break(
        POLYMARKET,
        ("firewall::another_user_cannot_reach_the_venue",),
        rule("meta skuid 65534 tcp dport 443 accept"),
    ),
    Break(
        POLYMARKET,
        ("clock::chrony_runs",),
        "systemctl stop chrony",
        collateral=("clock::only_planned_time_sources", "clock::clock_error_is_within_the_bound"),
    ),
    Break(
        POLYMARKET,
        ("credentials::stored_encrypted_and_root_only",),
        "chmod 0644 /etc/credstore.encrypted/polymarket_api_key",
    ),
    Break(
        POLYMARKET,
        ("credentials::no_credential_of_another_host_is_here",),
        "touch /etc/credstore.encrypted/binance_api_key",
    ),
    Break(POLYMARKET, ("risk::the_engine_runs_under_these_limits",), "echo >> /etc/slipway/limits.json"),
)

# Changed and started with; the converge mends each and starts the units anew.
STARTED = (
    Break(
        BINANCE,
        ("engine::unit_is_watched",),
        f"sed -i /^WatchdogSec/d {ENGINE_UNIT}",
    ),
    Break(
        BINANCE,
        ("firewall::the_engine_requires_the_firewall",),
        f"sed -i /^Requires=nftables/d {ENGINE_UNIT}",
    ),
    Break(
        BINANCE,
        ("engine::exposure_is_low",),
        f"sed -Ei '{LOOSEN}' {ENGINE_UNIT}",
        collateral=("connector::unit_is_sandboxed",),
    ),
    Break(
        BINANCE,
        ("risk::limits_are_the_plans",),
        "sed -Ei 's/(\"max_open_orders\": )[0-9]+/\\11/' /etc/slipway/limits.json",
    ),
    Break(
        BINANCE,
        ("release::current_points_into_the_releases",),
        "cp -a $(readlink -f /opt/slipway/current) /opt/slipway/elsewhere; "
        "ln -sfn /opt/slipway/elsewhere /opt/slipway/current; "
        "systemctl daemon-reload; systemctl restart slipway-engine",
        "rm -rf /opt/slipway/elsewhere",
    ),
    Break(
        POLYMARKET,
        ("connector::unit_is_sandboxed",),
        f"sed -Ei '{LOOSEN}' {CONNECTOR_UNIT}",
    ),
    Break(
        POLYMARKET,
        ("credentials::not_in_the_environment", "credentials::no_value_leaks_into_any_sink"),
        f'systemctl set-environment LEAK="$(cat {CREDENTIALS}/{CONNECTOR}/polymarket_api_passphrase)"',
        "systemctl unset-environment LEAK",
    ),
    Break(
        POLYMARKET,
        ("engine::process_has_its_user_and_no_power",),
        f"sed -Ei 's/^(AmbientCapabilities|CapabilityBoundingSet)=.*/\\1=CAP_NET_ADMIN/' {ENGINE_UNIT}",
    ),
    Break(
        POLYMARKET,
        ("release::the_running_executable_is_the_releases", "release::the_engine_reports_the_same_release"),
        "cp -a $(readlink -f /opt/slipway/current) /opt/slipway/elsewhere; "
        "echo >> /opt/slipway/elsewhere/bin/slipway-engine; "
        f"sed -i s,^ExecStart=/opt/slipway/current,ExecStart=/opt/slipway/elsewhere, {ENGINE_UNIT}; "
        "systemctl daemon-reload; systemctl restart slipway-engine",
        "rm -rf /opt/slipway/elsewhere",
    ),
)

# States of the running system that no plan describes; what was done is undone by hand.
ALIVE = (
    Break(
        BINANCE,
        ("engine::unit_has_not_been_restarted_by_a_crash",),
        crash("slipway-engine.service"),
        "systemctl reset-failed slipway-engine.service",
        collateral=("connector::unit_is_active_as_its_own_user",),
    ),
    Break(
        BINANCE,
        ("engine::control_socket_is_the_engines_alone",),
        "chmod 0666 /run/slipway-engine/control.sock",
        "chmod 0660 /run/slipway-engine/control.sock",
    ),
    Break(
        BINANCE,
        ("risk::a_permit_cannot_be_made_by_the_engine",),
        "echo R > /run/slipway/permit; chown slipway-engine /run/slipway/permit",
        "rm /run/slipway/permit",
        collateral=("risk::state_and_permit_agree",),
    ),
    Break(
        BINANCE,
        ("base::no_unit_has_failed",),
        "systemd-run --quiet --wait --unit=slt-failure false || true",
        "systemctl reset-failed slt-failure",
    ),
    Break(
        BINANCE,
        ("credentials::nothing_is_stored_unencrypted",),
        "mkdir -p /etc/credstore; touch /etc/credstore/forgotten",
        "rm -r /etc/credstore",
    ),
    Break(
        POLYMARKET,
        ("connector::unit_is_active_as_its_own_user",),
        crash(CONNECTOR),
        f"systemctl reset-failed {CONNECTOR}",
    ),
    Break(
        POLYMARKET,
        ("risk::state_and_permit_agree",),
        "echo R > /run/slipway/permit; chgrp slipway /run/slipway/permit; chmod 0640 /run/slipway/permit",
        "rm /run/slipway/permit",
    ),
    Break(
        POLYMARKET,
        ("firewall::only_ssh_listens_to_the_network",),
        listener("slt-listener", "0.0.0.0", 8080),
        "systemctl stop slt-listener",
    ),
    Break(
        POLYMARKET,
        ("credentials::no_value_leaks_into_any_sink",),
        f"until [ -s {CREDENTIALS}/{CONNECTOR}/polymarket_api_key ]; do :; done; "
        f"cat {CREDENTIALS}/{CONNECTOR}/polymarket_api_key > /var/tmp/note",
        "rm /var/tmp/note",
    ),
    Break(
        POLYMARKET,
        ("clock::only_planned_time_sources", "clock::clock_error_is_within_the_bound"),
        "chronyc -n add server 192.0.2.9; chronyc -n offline; chronyc -n reset sources",
        "chronyc -n delete 192.0.2.9; chronyc -n online; chronyc -n burst 4/4; "
        "chronyc -n waitsync 60 0.2 0 1",
    ),
)

# Harm that many checks see, or that would hide another's.
MUTE = (
    Break(
        BINANCE,
        ("engine::engine_answers_and_runs_its_configuration",),
        "mv /run/slipway-engine/control.sock /run/slipway-engine/away",
        "mv /run/slipway-engine/away /run/slipway-engine/control.sock",
        collateral=(
            "engine::control_socket_is_the_engines_alone",
            "release::the_engine_reports_the_same_release",
            "risk::the_engine_runs_under_these_limits",
            "risk::state_and_permit_agree",
            "venue::connector_is_logged_in",
            "venue::orders_make_the_round_trip",
        ),
    ),
    Break(
        POLYMARKET,
        ("credentials::given_to_the_unit_and_its_user_only",),
        f"cp --preserve=ownership {CREDENTIALS}/{CONNECTOR}/polymarket_api_key /run/copy; "
        "chmod 0644 /run/copy; "
        f"mount --bind /run/copy {CREDENTIALS}/{CONNECTOR}/polymarket_api_key",
        f"umount {CREDENTIALS}/{CONNECTOR}/polymarket_api_key; rm /run/copy",
    ),
)

BATCHES = {"drift": DRIFT, "started": STARTED, "alive": ALIVE, "mute": MUTE}

BY_ITS_OWN_TEST = (
    "engine::isolated_cpus_are_used_as_planned",
    "connector::connection_to_the_venue_is_made_by_that_user",
    "venue::connector_is_logged_in",
    "venue::orders_make_the_round_trip",
)
"""Checks whose break is not a command on a host; see ``test_checks_can_fail.py``."""
