"""Handlers of alarms and budgets."""

# ruff: noqa: ARG002, D102 - what each method does is told once, in base.Handler

from __future__ import annotations

from typing import Any

from infra.lab.cloud.handlers.base import (
    Cloud,
    Handler,
    Inputs,
    Made,
    given,
    none_if_missing,
    physical_name,
    tag_list,
)


class MetricAlarm(Handler):
    """``aws:cloudwatch/metricAlarm:MetricAlarm`` on one metric; its id is its name."""

    resource_type = "aws:cloudwatch/metricAlarm:MetricAlarm"
    updates = frozenset(
        {
            "alarmActions",
            "alarmDescription",
            "comparisonOperator",
            "dimensions",
            "evaluationPeriods",
            "metricName",
            "namespace",
            "okActions",
            "period",
            "statistic",
            "tags",
            "threshold",
            "treatMissingData",
        }
    )

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        alarm = physical_name(name, inputs.get("name"), limit=255)
        self._put(cloud, alarm, inputs)
        made = self.read(cloud, alarm, inputs)
        return made or Made(alarm, {"name": alarm})

    def read(self, cloud: Cloud, identity: str, inputs: Inputs) -> Made | None:
        alarms = cloud.client("cloudwatch").describe_alarms(AlarmNames=[identity])["MetricAlarms"]
        return Made(identity, {"name": identity, "arn": alarms[0]["AlarmArn"]}) if alarms else None

    def update(self, cloud: Cloud, identity: str, old: Inputs, new: Inputs) -> None:
        self._put(cloud, identity, new)

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        none_if_missing(lambda: cloud.client("cloudwatch").delete_alarms(AlarmNames=[identity]))

    def _put(self, cloud: Cloud, alarm: str, inputs: Inputs) -> None:
        dimensions = inputs.get("dimensions") or {}
        cloud.client("cloudwatch").put_metric_alarm(
            AlarmName=alarm,
            Namespace=inputs["namespace"],
            MetricName=inputs["metricName"],
            Dimensions=[{"Name": key, "Value": value} for key, value in sorted(dimensions.items())],
            Statistic=inputs["statistic"],
            Period=int(inputs["period"]),
            EvaluationPeriods=int(inputs["evaluationPeriods"]),
            ComparisonOperator=inputs["comparisonOperator"],
            Threshold=float(inputs["threshold"]),
            AlarmActions=inputs.get("alarmActions") or [],
            OKActions=inputs.get("okActions") or [],
            Tags=tag_list(inputs),
            **given(
                AlarmDescription=inputs.get("alarmDescription"),
                TreatMissingData=inputs.get("treatMissingData"),
            ),
        )


class Budget(Handler):
    """``aws:budgets/budget:Budget``; its id is ``account:name``. Any change makes a new one."""

    resource_type = "aws:budgets/budget:Budget"
    updates = frozenset()

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        account = cloud.client("sts").get_caller_identity()["Account"]
        budget = physical_name(name, inputs.get("name"), limit=100)
        cloud.client("budgets").create_budget(
            AccountId=account,
            Budget=given(
                BudgetName=budget,
                BudgetType=inputs["budgetType"],
                TimeUnit=inputs["timeUnit"],
                BudgetLimit={"Amount": inputs["limitAmount"], "Unit": inputs["limitUnit"]},
                CostFilters={one["name"]: one["values"] for one in inputs.get("costFilters") or []} or None,
            ),
            NotificationsWithSubscribers=[_notification(one) for one in inputs.get("notifications") or []],
            ResourceTags=tag_list(inputs),
        )
        return Made(f"{account}:{budget}", {"name": budget, "accountId": account})

    def read(self, cloud: Cloud, identity: str, inputs: Inputs) -> Made | None:
        account, budget = identity.split(":", 1)
        answer = none_if_missing(
            lambda: cloud.client("budgets").describe_budget(AccountId=account, BudgetName=budget)
        )
        return None if answer is None else Made(identity, {"name": budget, "accountId": account})

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        account, budget = identity.split(":", 1)
        none_if_missing(lambda: cloud.client("budgets").delete_budget(AccountId=account, BudgetName=budget))


def _notification(one: Inputs) -> dict[str, Any]:
    return {
        "Notification": {
            "NotificationType": one["notificationType"],
            "ComparisonOperator": one["comparisonOperator"],
            "Threshold": float(one["threshold"]),
            "ThresholdType": one["thresholdType"],
        },
        "Subscribers": [
            {"SubscriptionType": "EMAIL", "Address": address}
            for address in one.get("subscriberEmailAddresses") or []
        ],
    }
