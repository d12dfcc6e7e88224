"""Handlers of hosts: placement group, key pair, network interface, instance, Elastic IP."""

# ruff: noqa: ARG002, D102 - what each method does is told once, in base.Handler

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from infra.lab.cloud.handlers.base import (
    Cloud,
    Ec2Handler,
    Handler,
    HandlerError,
    Inputs,
    Made,
    given,
    none_if_missing,
    physical_name,
    retag,
)

_ROOT_DEVICE = "/dev/xvda"
"""Root device of Debian's images, for an image that the endpoint does not describe."""

_POLL_S = 0.25
"""A lab host boots in about a second: ask often."""


class PlacementGroup(Ec2Handler):
    """``aws:ec2/placementGroup:PlacementGroup``; its id is its name."""

    resource_type = "aws:ec2/placementGroup:PlacementGroup"
    kind, describe, listed = "placement-group", "describe_placement_groups", "PlacementGroups"
    identity, ids = "GroupName", "GroupNames"

    def outputs(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        return {"name": entry["GroupName"], "placementGroupId": entry.get("GroupId", "")}

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        group = physical_name(name, inputs.get("name"), limit=255)
        made = cloud.client("ec2").create_placement_group(
            GroupName=group,
            Strategy=inputs["strategy"],
            TagSpecifications=self.tag_specification(inputs),
        )
        return Made(group, self.outputs({"GroupName": group, **made.get("PlacementGroup", {})}))

    def update(self, cloud: Cloud, identity: str, old: Inputs, new: Inputs) -> None:
        """Leave the first tags: the endpoint cannot change them, and a new group would cost its hosts."""

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        none_if_missing(lambda: cloud.client("ec2").delete_placement_group(GroupName=identity))


class KeyPair(Ec2Handler):
    """``aws:ec2/keyPair:KeyPair`` from a public key; its id is its name."""

    resource_type = "aws:ec2/keyPair:KeyPair"
    updates = frozenset({"tags"})
    kind, describe, listed = "key-pair", "describe_key_pairs", "KeyPairs"
    identity, ids = "KeyName", "KeyNames"

    def outputs(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        return {"keyName": entry["KeyName"], "keyPairId": entry["KeyPairId"]}

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        made = cloud.client("ec2").import_key_pair(
            KeyName=physical_name(name, inputs.get("keyName"), limit=255),
            PublicKeyMaterial=inputs["publicKey"].encode(),
            TagSpecifications=self.tag_specification(inputs),
        )
        return Made(made["KeyName"], self.outputs(made))

    def update(self, cloud: Cloud, identity: str, old: Inputs, new: Inputs) -> None:
        made = self.read(cloud, identity, new)
        if made is not None:
            retag(cloud, made.outputs["keyPairId"], old, new)

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        none_if_missing(lambda: cloud.client("ec2").delete_key_pair(KeyName=identity))


class NetworkInterface(Ec2Handler):
    """``aws:ec2/networkInterface:NetworkInterface`` with one private address."""

    resource_type = "aws:ec2/networkInterface:NetworkInterface"
    updates = frozenset({"tags", "securityGroups", "description"})
    kind, describe, listed = "network-interface", "describe_network_interfaces", "NetworkInterfaces"
    identity, ids = "NetworkInterfaceId", "NetworkInterfaceIds"

    def outputs(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        return {"privateIp": entry["PrivateIpAddress"], "macAddress": entry.get("MacAddress", "")}

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        addresses = inputs.get("privateIps") or []
        if len(addresses) > 1:
            raise HandlerError(f"{name}: one private address an interface; {len(addresses)} are given")
        made = cloud.client("ec2").create_network_interface(
            SubnetId=inputs["subnetId"],
            TagSpecifications=self.tag_specification(inputs),
            **given(
                PrivateIpAddress=addresses[0] if addresses else None,
                Groups=inputs.get("securityGroups"),
                Description=inputs.get("description"),
            ),
        )["NetworkInterface"]
        return Made(made["NetworkInterfaceId"], self.outputs(made))

    def update(self, cloud: Cloud, identity: str, old: Inputs, new: Inputs) -> None:
        retag(cloud, identity, old, new)
        ec2 = cloud.client("ec2")
        if old.get("securityGroups") != new.get("securityGroups"):
            ec2.modify_network_interface_attribute(
                NetworkInterfaceId=identity, Groups=new.get("securityGroups") or []
            )
        if old.get("description") != new.get("description"):
            ec2.modify_network_interface_attribute(
                NetworkInterfaceId=identity, Description={"Value": new.get("description") or ""}
            )

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        none_if_missing(lambda: cloud.client("ec2").delete_network_interface(NetworkInterfaceId=identity))


class Instance(Ec2Handler):
    """``aws:ec2/instance:Instance`` on an interface that exists."""

    resource_type = "aws:ec2/instance:Instance"
    updates = frozenset(
        {"tags", "metadataOptions", "disableApiTermination", "monitoring", "userDataReplaceOnChange"}
    )
    kind, describe, listed = "instance", "describe_instances", "Instances"
    identity, ids = "InstanceId", "InstanceIds"

    def outputs(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "privateIp": entry.get("PrivateIpAddress", ""),
            "publicIp": entry.get("PublicIpAddress", ""),
            "instanceState": entry["State"]["Name"],
        }

    def alive(self, entry: Mapping[str, Any]) -> bool:
        return entry["State"]["Name"] not in {"terminated", "shutting-down"}

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        interface = inputs.get("primaryNetworkInterface")
        if interface is None:
            raise HandlerError(f"{name}: an instance needs primaryNetworkInterface; it has none")
        ec2 = cloud.client("ec2")
        cores = inputs.get("cpuOptions")
        profile, group = inputs.get("iamInstanceProfile"), inputs.get("placementGroup")
        recovery = inputs.get("maintenanceOptions")
        reservation = ec2.run_instances(
            ImageId=inputs["ami"],
            InstanceType=inputs["instanceType"],
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": interface["networkInterfaceId"]}],
            TagSpecifications=self.tag_specification(inputs) + self._volume_tags(inputs),
            **given(
                KeyName=inputs.get("keyName"),
                UserData=inputs.get("userData"),
                EbsOptimized=inputs.get("ebsOptimized"),
                DisableApiTermination=inputs.get("disableApiTermination"),
                Monitoring=None if inputs.get("monitoring") is None else {"Enabled": inputs["monitoring"]},
                IamInstanceProfile=None if profile is None else {"Name": profile},
                Placement=None if group is None else {"GroupName": group},
                CpuOptions=None
                if cores is None
                else {
                    "CoreCount": int(cores["coreCount"]),
                    "ThreadsPerCore": int(cores["threadsPerCore"]),
                },
                MetadataOptions=_metadata(inputs),
                MaintenanceOptions=None if recovery is None else {"AutoRecovery": recovery["autoRecovery"]},
                BlockDeviceMappings=self._root(ec2, inputs),
            ),
        )
        identity = reservation["Instances"][0]["InstanceId"]
        try:
            ec2.get_waiter("instance_running").wait(
                InstanceIds=[identity], WaiterConfig={"Delay": _POLL_S, "MaxAttempts": 1200}
            )
        except WaiterError as error:
            raise HandlerError(f"{name}: {identity} does not run: {_reason(ec2, identity)}") from error
        made = self.read(cloud, identity, inputs)
        if made is None:
            raise HandlerError(f"{name}: {identity} ended as soon as it ran: {_reason(ec2, identity)}")
        return made

    def replaces(self, old: Inputs, new: Inputs) -> bool:
        return super().replaces(_without_volume_tags(old), _without_volume_tags(new))

    def update(self, cloud: Cloud, identity: str, old: Inputs, new: Inputs) -> None:
        ec2 = cloud.client("ec2")
        retag(cloud, identity, old, new)
        if old.get("rootBlockDevice") != new.get("rootBlockDevice"):
            for entry in self._entries(self._describe(cloud, InstanceIds=[identity])):
                for device in entry["BlockDeviceMappings"]:
                    retag(cloud, device["Ebs"]["VolumeId"], old["rootBlockDevice"], new["rootBlockDevice"])
        if old.get("metadataOptions") != new.get("metadataOptions") and new.get("metadataOptions"):
            ec2.modify_instance_metadata_options(InstanceId=identity, **(_metadata(new) or {}))
        if old.get("disableApiTermination") != new.get("disableApiTermination"):
            ec2.modify_instance_attribute(
                InstanceId=identity,
                DisableApiTermination={"Value": bool(new.get("disableApiTermination"))},
            )
        if old.get("monitoring") != new.get("monitoring"):
            switch = ec2.monitor_instances if new.get("monitoring") else ec2.unmonitor_instances
            switch(InstanceIds=[identity])

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        ec2 = cloud.client("ec2")
        if none_if_missing(lambda: ec2.terminate_instances(InstanceIds=[identity])) is not None:
            ec2.get_waiter("instance_terminated").wait(
                InstanceIds=[identity], WaiterConfig={"Delay": _POLL_S, "MaxAttempts": 480}
            )

    def _made(self, answer: Mapping[str, Any] | None) -> Made | None:
        return super()._made({"Instances": self._entries(answer)})

    def _entries(self, answer: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
        return [entry for one in (answer or {}).get("Reservations", []) for entry in one["Instances"]]

    def _root(self, ec2: Any, inputs: Inputs) -> list[dict[str, Any]] | None:
        volume = inputs.get("rootBlockDevice")
        if volume is None:
            return None
        ebs = given(
            VolumeType=volume.get("volumeType"),
            VolumeSize=None if volume.get("volumeSize") is None else int(volume["volumeSize"]),
            Encrypted=volume.get("encrypted"),
            KmsKeyId=volume.get("kmsKeyId"),
            DeleteOnTermination=volume.get("deleteOnTermination"),
        )
        return [{"DeviceName": _root_device(ec2, inputs["ami"]), "Ebs": ebs}]

    def _volume_tags(self, inputs: Inputs) -> list[dict[str, Any]]:
        tags = (inputs.get("rootBlockDevice") or {}).get("tags")
        if not tags:
            return []
        pairs = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
        return [{"ResourceType": "volume", "Tags": pairs}]


def _without_volume_tags(inputs: Inputs) -> Inputs:
    volume = inputs.get("rootBlockDevice")
    if volume is None:
        return inputs
    bare = {key: value for key, value in volume.items() if key not in {"tags", "tagsAll"}}
    return {**inputs, "rootBlockDevice": bare}


def _metadata(inputs: Inputs) -> dict[str, Any] | None:
    options = inputs.get("metadataOptions")
    if options is None:
        return None
    hops = options.get("httpPutResponseHopLimit")
    return given(
        HttpEndpoint=options.get("httpEndpoint"),
        HttpTokens=options.get("httpTokens"),
        HttpPutResponseHopLimit=None if hops is None else int(hops),
        InstanceMetadataTags=options.get("instanceMetadataTags"),
    )


def _reason(ec2: Any, identity: str) -> str:
    answer = none_if_missing(lambda: ec2.describe_instances(InstanceIds=[identity]))
    entries = [entry for one in (answer or {}).get("Reservations", []) for entry in one["Instances"]]
    if not entries:
        return "the cloud no longer knows it"
    told = (entries[0].get("StateReason") or {}).get("Message")
    return str(told or f"its state is {entries[0]['State']['Name']}")


def _root_device(ec2: Any, image: str) -> str:
    try:
        images = ec2.describe_images(ImageIds=[image])["Images"]
    except ClientError as error:
        if not error.response["Error"]["Code"].startswith("InvalidAMIID"):
            raise
        images = []
    return str(images[0].get("RootDeviceName") or _ROOT_DEVICE) if images else _ROOT_DEVICE


class Eip(Ec2Handler):
    """``aws:ec2/eip:Eip`` of a VPC."""

    resource_type = "aws:ec2/eip:Eip"
    kind, describe, listed = "elastic-ip", "describe_addresses", "Addresses"
    identity, ids = "AllocationId", "AllocationIds"

    def outputs(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        return {"publicIp": entry["PublicIp"], "allocationId": entry["AllocationId"]}

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        made = cloud.client("ec2").allocate_address(
            Domain=inputs.get("domain") or "vpc", TagSpecifications=self.tag_specification(inputs)
        )
        return Made(made["AllocationId"], self.outputs(made))

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        none_if_missing(lambda: cloud.client("ec2").release_address(AllocationId=identity))


class EipAssociation(Handler):
    """``aws:ec2/eipAssociation:EipAssociation`` with a network interface."""

    resource_type = "aws:ec2/eipAssociation:EipAssociation"
    updates = frozenset()

    def create(self, cloud: Cloud, name: str, inputs: Inputs) -> Made:
        made = cloud.client("ec2").associate_address(
            AllocationId=inputs["allocationId"], NetworkInterfaceId=inputs["networkInterfaceId"]
        )
        return Made(made["AssociationId"])

    def read(self, cloud: Cloud, identity: str, inputs: Inputs) -> Made | None:
        found = self.find(cloud, inputs)
        return found if found is not None and found.id == identity else None

    def find(self, cloud: Cloud, inputs: Inputs) -> Made | None:
        answer = none_if_missing(
            lambda: cloud.client("ec2").describe_addresses(AllocationIds=[inputs["allocationId"]])
        )
        for address in (answer or {}).get("Addresses", []):
            if address.get("NetworkInterfaceId") == inputs["networkInterfaceId"]:
                return Made(address["AssociationId"])
        return None

    def delete(self, cloud: Cloud, identity: str, inputs: Inputs) -> None:
        none_if_missing(lambda: cloud.client("ec2").disassociate_address(AssociationId=identity))
