"""Cluster placement: the hosts of one zone as near to each other as AWS packs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True)
class PlacementArgs:
    """Tags only: a cluster group has no other choice to make."""

    tags: Mapping[str, str]


def takes_cluster_group(instance_type: str) -> bool:
    """Tell whether AWS admits the type to a cluster group: every family but the burstable ``t`` ones."""
    return not instance_type.startswith("t")


class ClusterGroup(pulumi.ComponentResource):
    """One cluster placement group."""

    group_name: pulumi.Output[str]

    def __init__(self, name: str, args: PlacementArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:placement:ClusterGroup", name, None, opts)
        group = aws.ec2.PlacementGroup(
            f"{name}-cluster",
            strategy="cluster",
            tags={**args.tags, "Name": f"{name}-cluster"},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.group_name = group.name
        self.register_outputs({"group_name": self.group_name})
