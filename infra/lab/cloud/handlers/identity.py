"""Handlers of IAM and KMS."""

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


class Role(Handler):
    """``aws:iam/role:Role``; its id is its name."""

    resource_type = "aws:iam/role:Role"
    updates = frozenset({"tags", "assumeRolePolicy", "description", "maxSessionDuration"})

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        length = inputs.get("maxSessionDuration")
        made = cloud.client("iam").create_role(
            RoleName=physical_name(name, inputs.get("name")),
            AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
            Tags=tag_list(inputs),
            **given(
                Description=inputs.get("description"),
                MaxSessionDuration=None if length is None else int(length),
            ),
        )["Role"]
        return self._made(made)

    def read(self, cloud: Cloud, identity: str, inputs: Inputs) -> Made | None:
        answer = none_if_missing(lambda: cloud.client("iam").get_role(RoleName=identity))
        return None if answer is None else self._made(answer["Role"])

    def update(self, cloud: Cloud, identity: str, old: Inputs, new: Inputs) -> None:
        iam = cloud.client("iam")
        if old["assumeRolePolicy"] != new["assumeRolePolicy"]:
            iam.update_assume_role_policy(RoleName=identity, PolicyDocument=new["assumeRolePolicy"])
        length = new.get("maxSessionDuration")
        iam.update_role(
            RoleName=identity,
            Description=new.get("description") or "",
            **given(MaxSessionDuration=None if length is None else int(length)),
        )
        gone = sorted(set(old.get("tags") or {}) - set(new.get("tags") or {}))
        if gone:
            iam.untag_role(RoleName=identity, TagKeys=gone)
        iam.tag_role(RoleName=identity, Tags=tag_list(new))

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        none_if_missing(lambda: cloud.client("iam").delete_role(RoleName=identity))

    def _made(self, role: Any) -> Made:
        return Made(role["RoleName"], {"name": role["RoleName"], "arn": role["Arn"]})


class RolePolicy(Handler):
    """``aws:iam/rolePolicy:RolePolicy``; its id is ``role:policy``."""

    resource_type = "aws:iam/rolePolicy:RolePolicy"
    updates = frozenset({"policy"})

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        policy = physical_name(name, inputs.get("name"), limit=128)
        self._put(cloud, inputs["role"], policy, inputs)
        return Made(f"{inputs['role']}:{policy}", {"name": policy})

    def read(self, cloud: Cloud, identity: str, inputs: Inputs) -> Made | None:
        role, policy = identity.split(":", 1)
        answer = none_if_missing(
            lambda: cloud.client("iam").get_role_policy(RoleName=role, PolicyName=policy)
        )
        return None if answer is None else Made(identity, {"name": policy})

    def update(self, cloud: Cloud, identity: str, old: Inputs, new: Inputs) -> None:
        role, policy = identity.split(":", 1)
        self._put(cloud, role, policy, new)

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        role, policy = identity.split(":", 1)
        none_if_missing(lambda: cloud.client("iam").delete_role_policy(RoleName=role, PolicyName=policy))

    def _put(self, cloud: Cloud, role: str, policy: str, inputs: Inputs) -> None:
        cloud.client("iam").put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=inputs["policy"])


class InstanceProfile(Handler):
    """``aws:iam/instanceProfile:InstanceProfile`` of one role; its id is its name."""

    resource_type = "aws:iam/instanceProfile:InstanceProfile"

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        iam = cloud.client("iam")
        profile = iam.create_instance_profile(
            InstanceProfileName=physical_name(name, inputs.get("name"), limit=128), Tags=tag_list(inputs)
        )["InstanceProfile"]
        iam.add_role_to_instance_profile(
            InstanceProfileName=profile["InstanceProfileName"], RoleName=inputs["role"]
        )
        return self._made(profile)

    def read(self, cloud: Cloud, identity: str, inputs: Inputs) -> Made | None:
        answer = none_if_missing(
            lambda: cloud.client("iam").get_instance_profile(InstanceProfileName=identity)
        )
        return None if answer is None else self._made(answer["InstanceProfile"])

    def update(self, cloud: Cloud, identity: str, old: Inputs, new: Inputs) -> None:
        iam = cloud.client("iam")
        gone = sorted(set(old.get("tags") or {}) - set(new.get("tags") or {}))
        if gone:
            iam.untag_instance_profile(InstanceProfileName=identity, TagKeys=gone)
        iam.tag_instance_profile(InstanceProfileName=identity, Tags=tag_list(new))

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        iam = cloud.client("iam")
        none_if_missing(
            lambda: iam.remove_role_from_instance_profile(
                InstanceProfileName=identity, RoleName=inputs["role"]
            )
        )
        none_if_missing(lambda: iam.delete_instance_profile(InstanceProfileName=identity))

    def _made(self, profile: Any) -> Made:
        return Made(
            profile["InstanceProfileName"],
            {"name": profile["InstanceProfileName"], "arn": profile["Arn"]},
        )


class Key(Handler):
    """``aws:kms/key:Key``, symmetric."""

    resource_type = "aws:kms/key:Key"
    updates = frozenset({"tags", "description", "enableKeyRotation", "deletionWindowInDays"})

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        kms = cloud.client("kms")
        tags = [{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in tag_list(inputs)]
        key = kms.create_key(
            Tags=tags, **given(Description=inputs.get("description"), Policy=inputs.get("policy"))
        )["KeyMetadata"]
        self._rotate(cloud, key["KeyId"], inputs)
        return self._made(key)

    def read(self, cloud: Cloud, identity: str, inputs: Inputs) -> Made | None:
        answer = none_if_missing(lambda: cloud.client("kms").describe_key(KeyId=identity))
        if answer is None or answer["KeyMetadata"]["KeyState"] == "PendingDeletion":
            return None
        return self._made(answer["KeyMetadata"])

    def update(self, cloud: Cloud, identity: str, old: Inputs, new: Inputs) -> None:
        kms = cloud.client("kms")
        gone = sorted(set(old.get("tags") or {}) - set(new.get("tags") or {}))
        if gone:
            kms.untag_resource(KeyId=identity, TagKeys=gone)
        kms.tag_resource(
            KeyId=identity,
            Tags=[{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in tag_list(new)],
        )
        kms.update_key_description(KeyId=identity, Description=new.get("description") or "")
        self._rotate(cloud, identity, new)

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        days = int(inputs.get("deletionWindowInDays") or 30)
        none_if_missing(
            lambda: cloud.client("kms").schedule_key_deletion(KeyId=identity, PendingWindowInDays=days)
        )

    def _rotate(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        kms = cloud.client("kms")
        switch = kms.enable_key_rotation if inputs.get("enableKeyRotation") else kms.disable_key_rotation
        switch(KeyId=identity)

    def _made(self, key: Any) -> Made:
        return Made(key["KeyId"], {"arn": key["Arn"], "keyId": key["KeyId"]})


class Alias(Handler):
    """``aws:kms/alias:Alias``; its id is its name. An alias that exists is pointed at the new key."""

    resource_type = "aws:kms/alias:Alias"
    updates = frozenset({"targetKeyId"})

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        alias = inputs.get("name") or f"alias/{physical_name(name, None)}"
        cloud.client("kms").create_alias(AliasName=alias, TargetKeyId=inputs["targetKeyId"])
        return Made(alias, {"name": alias})

    def read(self, cloud: Cloud, identity: str, inputs: Inputs) -> Made | None:
        pages = cloud.client("kms").get_paginator("list_aliases").paginate()
        there = any(alias["AliasName"] == identity for page in pages for alias in page["Aliases"])
        return Made(identity, {"name": identity}) if there else None

    def find(self, cloud: Cloud, inputs: Inputs) -> Made | None:
        made = self.read(cloud, inputs["name"], inputs) if inputs.get("name") else None
        if made is not None:
            self.update(cloud, made.id, {}, inputs)
        return made

    def update(self, cloud: Cloud, identity: str, old: Inputs, new: Inputs) -> None:
        cloud.client("kms").update_alias(AliasName=identity, TargetKeyId=new["targetKeyId"])

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        none_if_missing(lambda: cloud.client("kms").delete_alias(AliasName=identity))
