"""The cloud's own watch over a host: an alarm on its status checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True)
class WatchArgs:
    """``topics``: ARNs of the region's SNS topics that are told when the alarm goes off and clears."""

    instance_id: pulumi.Input[str]
    topics: Sequence[str]
    tags: Mapping[str, str]


class HostWatch(pulumi.ComponentResource):
    """One alarm: the instance or the machine under it failed its status check for two minutes."""

    def __init__(self, name: str, args: WatchArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:watch:HostWatch", name, None, opts)
        aws.cloudwatch.MetricAlarm(
            f"{name}-status",
            alarm_description=f"{name}: instance or system status check failed",
            namespace="AWS/EC2",
            metric_name="StatusCheckFailed",
            dimensions={"InstanceId": args.instance_id},
            statistic="Maximum",
            period=60,
            evaluation_periods=2,
            comparison_operator="GreaterThanOrEqualToThreshold",
            threshold=1,
            # A host that reports nothing is not a healthy host.
            treat_missing_data="breaching",
            alarm_actions=list(args.topics),
            ok_actions=list(args.topics),
            tags={**args.tags, "Name": f"{name}-status"},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
