"""What ``pulumi up`` runs: load, plan, build, export."""

import pulumi

from infra.catalogue.load import load_catalogue
from infra.plan.build import build_plan
from infra.program import build, stack_settings

settings = stack_settings()
plan = build_plan(load_catalogue(), settings)
pulumi.export("inventory", build(plan, settings).inventory)
