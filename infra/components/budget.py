"""A phase's monthly budget, with warnings before and after it is spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import pulumi
import pulumi_aws as aws

_WARNINGS = (("ACTUAL", 80), ("FORECASTED", 100), ("ACTUAL", 100))
"""What is compared with the limit, and at how many per cent of it."""


@dataclass(frozen=True)
class BudgetArgs:
    """Limit in US dollars a month, the ``Stack`` tag whose cost counts, and the e-mail addresses to warn."""

    monthly_usd: Decimal
    stack: str
    notify: Sequence[str]
    tags: Mapping[str, str]


class PhaseBudget(pulumi.ComponentResource):
    """AWS Budgets is one service for all regions: one budget a stack, whatever its regions.

    It counts what bears the tag ``Stack``, once that is activated as a cost allocation tag in the account.
    AWS takes no warning without a receiver: with nobody to notify there are none.
    """

    def __init__(self, name: str, args: BudgetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:budget:PhaseBudget", name, None, opts)
        aws.budgets.Budget(
            f"{name}-budget",
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=str(args.monthly_usd),
            limit_unit="USD",
            cost_filters=[
                aws.budgets.BudgetCostFilterArgs(name="TagKeyValue", values=[f"user:Stack${args.stack}"])
            ],
            notifications=[
                aws.budgets.BudgetNotificationArgs(
                    notification_type=kind,
                    comparison_operator="GREATER_THAN",
                    threshold=percent,
                    threshold_type="PERCENTAGE",
                    subscriber_email_addresses=list(args.notify),
                )
                for kind, percent in (_WARNINGS if args.notify else ())
            ],
            tags={**args.tags, "Name": f"{name}-budget"},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
