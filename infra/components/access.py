"""What a host may do in the cloud: read its own parameters, and be reached by Session Manager."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

_SESSION_MANAGER = (
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)

_ASSUMED_BY_EC2 = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": {"Service": "ec2.amazonaws.com"},
            }
        ],
    }
)


@dataclass(frozen=True)
class AccessArgs:
    """``parameters``: full names (``/a/b``) of the SSM parameters that this host, and no other, reads."""

    region: str
    parameters: Sequence[str]
    key_arn: pulumi.Input[str]
    tags: Mapping[str, str]


class HostAccess(pulumi.ComponentResource):
    """Instance role and profile of one host.

    AWS's managed ``AmazonSSMManagedInstanceCore`` is not attached: it allows ``ssm:GetParameter`` on every
    parameter of the account. Session Manager needs only the five actions named here.
    """

    profile_name: pulumi.Output[str]

    def __init__(self, name: str, args: AccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:access:HostAccess", name, None, opts)
        role = aws.iam.Role(
            f"{name}-role",
            assume_role_policy=_ASSUMED_BY_EC2,
            max_session_duration=3600,
            tags={**args.tags, "Name": f"{name}-role"},
            opts=pulumi.ResourceOptions(parent=self),
        )
        policy = aws.iam.RolePolicy(
            f"{name}-role-policy",
            role=role.name,
            policy=pulumi.Output.from_input(args.key_arn).apply(
                lambda arn: host_policy(args.region, args.parameters, arn)
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        profile = aws.iam.InstanceProfile(
            f"{name}-profile",
            role=role.name,
            tags={**args.tags, "Name": f"{name}-profile"},
            opts=pulumi.ResourceOptions(parent=self),
        )
        # The host must not start before its role can do what the host does at boot.
        self.profile_name = pulumi.Output.all(profile.name, policy.id).apply(lambda both: str(both[0]))
        self.register_outputs({"profile_name": self.profile_name})


def host_policy(region: str, parameters: Sequence[str], key_arn: str) -> str:
    """Return the role's policy as JSON.

    The account and partition are read from the key's ARN. Decryption is allowed with that key only, through
    SSM only, and only for the host's own parameters (their ARN is SSM's encryption context).
    """
    partition, account = key_arn.split(":")[1], key_arn.split(":")[4]
    own = [f"arn:{partition}:ssm:{region}:{account}:parameter{parameter}" for parameter in parameters]
    statements: list[dict[str, Any]] = [
        {"Sid": "SessionManager", "Effect": "Allow", "Action": list(_SESSION_MANAGER), "Resource": "*"}
    ]
    if own:
        statements += [
            {
                "Sid": "ReadOwnParameters",
                "Effect": "Allow",
                "Action": ["ssm:GetParameter", "ssm:GetParameters"],
                "Resource": own,
            },
            {
                "Sid": "DecryptOwnParameters",
                "Effect": "Allow",
                "Action": "kms:Decrypt",
                "Resource": key_arn,
                "Condition": {
                    "StringEquals": {
                        "kms:ViaService": f"ssm.{region}.amazonaws.com",
                        "kms:EncryptionContext:PARAMETER_ARN": own,
                    }
                },
            },
        ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
