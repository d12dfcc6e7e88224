"""Secrets from AWS Systems Manager's parameter store, read on the control machine only."""

from __future__ import annotations

import os
from typing import Any

BATCH = 10
"""GetParameters takes at most ten names."""


class ParameterError(Exception):
    """A secret cannot be had; the message names the host, the credential and the parameter, never a value."""


def fill(host: str, fragments: list[dict[str, Any]]) -> None:
    """Put the value of each credential's parameter into its item (key ``value``).

    Raises ParameterError naming every parameter that is missing, or that could not be read and why.
    """
    items = [item for fragment in fragments for item in fragment["credentials"]]
    regions = {item["region"] for item in items}
    values = {region: _read(region, [i for i in items if i["region"] == region]) for region in sorted(regions)}
    missing = []
    for item in items:
        region = item.pop("region")
        parameter = item.pop("parameter")
        value = values[region].get(parameter)
        if value is None:
            missing.append(
                f"credential {item['name']}: the parameter {parameter} is not in {region}: put it there with "
                f"aws ssm put-parameter --type SecureString --region {region} --name {parameter} --value …"
            )
        item["value"] = value
    if missing:
        raise ParameterError("; ".join(missing))


def _read(region: str, items: list[dict[str, Any]]) -> dict[str, str]:
    # Imported here: botocore costs half a second, which a host without credentials need not pay.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    names = sorted({item["parameter"] for item in items})
    found: dict[str, str] = {}
    try:
        client = boto3.client(
            "ssm", region_name=region, config=Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 3})
        )
        for start in range(0, len(names), BATCH):
            reply = client.get_parameters(Names=names[start : start + BATCH], WithDecryption=True)
            found.update({entry["Name"]: entry["Value"] for entry in reply["Parameters"]})
    except (BotoCoreError, ClientError) as error:
        where = os.environ.get("AWS_ENDPOINT_URL", "AWS")
        credentials = ", ".join(item["name"] for item in items)
        raise ParameterError(
            f"credentials {credentials}: the parameter store of {region} ({where}) could not be read: {error}"
        ) from None
    return found
