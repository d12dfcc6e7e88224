"""Keys of a region: the customer key that encrypts volumes and parameters, and the login key pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True)
class KeysArgs:
    """``public_key`` is OpenSSH's one-line form; ``alias`` the key's name within the region."""

    alias: str
    public_key: str
    tags: Mapping[str, str]


class RegionKeys(pulumi.ComponentResource):
    """A customer managed KMS key that rotates yearly, its alias, and an EC2 key pair.

    The key's policy is KMS's default (the account's IAM decides); who may decrypt is written once, in
    ``infra.components.access``.
    """

    key_arn: pulumi.Output[str]
    key_name: pulumi.Output[str]

    def __init__(self, name: str, args: KeysArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:keys:RegionKeys", name, None, opts)
        key = aws.kms.Key(
            f"{name}-key",
            description="slipway: volumes and parameters of trading hosts",
            enable_key_rotation=True,
            deletion_window_in_days=30,
            tags={**args.tags, "Name": f"{name}-key"},
            opts=pulumi.ResourceOptions(parent=self),
        )
        aws.kms.Alias(
            f"{name}-key-alias",
            name=f"alias/{args.alias}",
            target_key_id=key.key_id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        pair = aws.ec2.KeyPair(
            f"{name}-login",
            public_key=args.public_key,
            tags={**args.tags, "Name": f"{name}-login"},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.key_arn = key.arn
        self.key_name = pair.key_name
        self.register_outputs({"key_arn": self.key_arn, "key_name": self.key_name})
