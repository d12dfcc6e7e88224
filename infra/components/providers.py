"""One explicit AWS provider for each region in use: a resource's region can be read from its provider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

_LAB_SERVICES = ("budgets", "cloudwatch", "ec2", "iam", "kms", "ssm", "sts")


@dataclass(frozen=True)
class ProviderArgs:
    """Where the providers may work: account (``None`` = any) and endpoint (``None`` = AWS itself)."""

    account: str | None
    endpoint: str | None


def make_providers(regions: Iterable[str], args: ProviderArgs) -> Mapping[str, aws.Provider]:
    """Return a provider for each region, by region.

    All arguments are static: a provider configured with an unknown would skip its checks in a preview.
    With ``account`` set, a run with another account's credentials is refused before anything is made.
    """
    return {region: _provider(region, args) for region in sorted(set(regions))}


def _provider(region: str, args: ProviderArgs) -> aws.Provider:
    accounts = None if args.account is None else [args.account]
    if args.endpoint is None:
        return aws.Provider(f"aws-{region}", region=region, allowed_account_ids=accounts)
    return aws.Provider(
        f"aws-{region}",
        pulumi.ResourceOptions(),
        region=region,
        allowed_account_ids=accounts,
        endpoints=[aws.ProviderEndpointArgs(**dict.fromkeys(_LAB_SERVICES, args.endpoint))],
        # The lab has no metadata service of the control machine and no AWS region list to check against.
        skip_credentials_validation=True,
        skip_metadata_api_check=True,
        skip_region_validation=True,
    )
