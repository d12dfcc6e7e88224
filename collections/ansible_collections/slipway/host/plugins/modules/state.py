"""Documentation of ``slipway.host.state``; the work is done by the action plugin of the same name."""

DOCUMENTATION = """
---
module: state
short_description: Bring a host to its declared state in one exchange
description:
  - Sends one document to the host, where one short-lived Python program observes, compares and acts, all
    over one SSH exchange and without a file on the host.
  - Whether a unit is restarted is decided by what is observed (what the process was started with), never by
    what this run wrote, so a run that was interrupted is put right by the next.
  - Every file of the document is prepared and validated before the first is replaced.
  - Values of credentials are read on the control machine from AWS Systems Manager's parameter store (the
    usual AWS variables and E(AWS_ENDPOINT_URL) apply), travel on standard input only, and appear in no result
    or diff.
options:
  fragments:
    description:
      - The declared state, in the order in which the host needs it. Each is the name of a variable (which
        costs less, for it is evaluated once) or a mapping, with a C(name) and any of
        C(hostname), C(packages), C(groups), C(users), C(directories), C(trust), C(files), C(absent), C(only),
        C(links), C(credentials), C(releases), C(units).
      - A fragment with C(requires) is held back (and named in the result) while one of these is missing.
      - In C(files), C(template) and C(copy) name ROLE/FILE instead of C(content).
    type: list
    elements: raw
    required: true
  variables:
    description:
      - What every template may use, beside the C(variables) of its fragment and file; a mapping or the name
        of a variable.
    type: raw
  roles:
    description: Roles whose variables are checked against their argument specs first.
    type: list
    elements: str
    default: []
  lock_wait_s:
    description: How long (seconds) to wait for another converge or verification of the same host to end.
    type: float
    default: 60.0
  test_stop_after:
    description: For tests only; the program on the host kills itself at this checkpoint.
    type: int
attributes:
  check_mode:
    description: Predicts what would change; refusals are predicted too.
    support: full
  diff_mode:
    description: Shows every change but the values of credentials.
    support: full
author:
  - slipway (@slipway)
version_added: 0.1.0
"""

EXAMPLES = """
- name: Bring a host to its plan
  slipway.host.state:
    fragments:
      - name: demo
        directories:
          - { path: /etc/demo, mode: "0750" }
        files:
          - { path: /etc/demo/limits.json, content: "{}", validate: [python3, -m, json.tool, "%s"] }
        units:
          - { name: demo.service, enabled: true, state: started, restart_on: [/etc/demo/limits.json] }
"""

RETURN = """
changes:
  description: What was (or would be) changed, in order.
  type: list
  elements: dict
  returned: always
missing_packages:
  description: Declared packages that are not installed. If there are any, nothing else was done.
  type: list
  elements: str
  returned: always
held:
  description: Fragments that were held back, each with the paths that it requires and that are missing.
  type: dict
  returned: always
observations:
  description: What was observed of units and release before anything was changed.
  type: dict
  returned: success
armed:
  description: Whether a permit is in force on the host after the run.
  type: bool
  returned: success
"""
