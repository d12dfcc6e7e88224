"""Who a signed release is, by its signature file alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.slipway.host.plugins.plugin_utils.signature import SignatureError, identity

DOCUMENTATION = """
name: release_identity
short_description: Name, version and hash of a signed release
description:
  - Reads the minisign signature beside a release archive, checks that its trusted comment was signed with
    the given public key, and returns what it says. The archive itself is not read here, the host does that
    before it unpacks it.
options:
  _terms:
    description: The release archive; its signature lies beside it with the ending C(.minisig).
    required: true
  public_key:
    description: The minisign public key file.
    type: path
    required: true
author: slipway
version_added: 0.1.0
"""

EXAMPLES = """
- name: Show what would be deployed
  ansible.builtin.debug:
    msg: "{{ lookup('slipway.host.release_identity', release_archive, public_key=release_public_key) }}"
"""

RETURN = """
_raw:
  description: A dictionary with name, version, target, sha256, id and trusted_comment.
  type: list
  elements: dict
"""


class LookupModule(LookupBase):
    """The lookup."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, str]]:
        """Return the identity of each archive in ``terms``."""
        self.set_options(var_options=variables, direct=kwargs)
        key = Path(str(self.get_option("public_key")))
        try:
            return [identity(Path(str(term)), key) for term in terms]
        except SignatureError as error:
            raise AnsibleLookupError(str(error)) from None
