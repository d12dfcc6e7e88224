"""Secrets from AWS Systems Manager's parameter store, read on the control machine only."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

BATCH = 10
"""GetParameters takes at most ten names."""

_PATIENCE = Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 3})


class ParameterError(Exception):
    """A secret cannot be had; the message names the credential and the parameter, never a value."""


@lru_cache(maxsize=1)
def session() -> boto3.Session:
    """Return the session that every client is made from."""
    return boto3.Session()


def warm() -> None:
    """Make a client that is never used, before workers are forked: what it reads is most of its cost."""
    session().client("ssm", region_name="eu-west-1", config=Config(signature_version=UNSIGNED))


def fill(fragments: list[dict[str, Any]]) -> None:
    """Put the value of each credential's parameter into its item (key ``value``).

    Raises ParameterError naming every parameter that is missing, or that could not be read and why.
    """
    items = [item for fragment in fragments for item in fragment["credentials"]]
    values = {
        region: _read(region, [item for item in items if item["region"] == region])
        for region in sorted({item["region"] for item in items})
    }
    missing = []
    for item in items:
        region, parameter = item.pop("region"), item.pop("parameter")
        item["value"] = values[region].get(parameter)
        if item["value"] is None:
            missing.append(
                f"credential {item['name']}: the parameter {parameter} is not in {region}; put it there with "
                f"aws ssm put-parameter --type SecureString --region {region} --name {parameter} --value …"
            )
    if missing:
        raise ParameterError("; ".join(missing))


def _read(region: str, items: list[dict[str, Any]]) -> dict[str, str]:
    names = sorted({item["parameter"] for item in items})
    found: dict[str, str] = {}
    try:
        client = session().client("ssm", region_name=region, config=_PATIENCE)
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
