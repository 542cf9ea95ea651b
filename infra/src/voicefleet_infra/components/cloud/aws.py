"""Servers of AWS: EC2 instances with GPUs in the account's default network, with k3s.

Addresses are elastic, so that a server that is stopped and started keeps the one that the carrier
calls. Pages: https://www.pulumi.com/registry/packages/aws/api-docs/ec2/instance/.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from voicefleet_infra.components.cloud import k3s
from voicefleet_infra.components.cloud.budget import CLIENT, SHARED

USER = "ubuntu"


@dataclass(frozen=True)
class AwsServersArgs:
    """What is bought."""

    count: int
    instance_type: str
    ami: str
    """Ubuntu 24.04 of the region."""
    disk_gib: int
    public_key: str
    """OpenSSH's form, of who may log in."""
    access: k3s.Access
    token: pulumi.Input[str]
    """Shared by the cluster's servers; a secret."""


class AwsServers(pulumi.ComponentResource):
    """Instances that install k3s at their first start and join the first one."""

    addresses: list[pulumi.Output[str]]
    """Public, the first server's first."""
    inner_address: pulumi.Output[str]
    """The first server's among the others."""
    user: str = USER

    def __init__(
        self, name: str, args: AwsServersArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("voicefleet:cloud:AwsServers", name, None, opts)
        self._name, self._args = name, args
        self._mine = pulumi.ResourceOptions(parent=self)
        self._key = aws.ec2.KeyPair(
            name, public_key=args.public_key, tags=self._tags(name), opts=self._mine
        )
        self._group = aws.ec2.SecurityGroup(
            name,
            description="What carriers and administrators reach",
            ingress=[
                {
                    "description": each.what,
                    "protocol": each.protocol,
                    "from_port": each.first,
                    "to_port": each.last,
                    "cidr_blocks": [n for n in each.networks if ":" not in n],
                    "ipv6_cidr_blocks": [n for n in each.networks if ":" in n],
                }
                for each in k3s.openings(args.access)
                if each.networks
            ]
            + [{"protocol": "-1", "from_port": 0, "to_port": 0, "self": True}],
            egress=[{"protocol": "-1", "from_port": 0, "to_port": 0, "cidr_blocks": ["0.0.0.0/0"]}],
            tags=self._tags(name),
            opts=self._mine,
        )
        first_address, first = self._server(0, None)
        others = [self._server(number, first.private_ip) for number in range(1, args.count)]
        self.inner_address = first.private_ip
        self.addresses = [first_address, *(address for address, _ in others)]
        self.register_outputs({"addresses": self.addresses})

    def _server(
        self, number: int, first: pulumi.Output[str] | None
    ) -> tuple[pulumi.Output[str], aws.ec2.Instance]:
        args, name = self._args, f"{self._name}-{number}"
        eip = aws.ec2.Eip(name, domain="vpc", tags=self._tags(name), opts=self._mine)
        given = pulumi.Output.all(eip.public_ip, pulumi.Output.secret(args.token), first)
        instance = aws.ec2.Instance(
            name,
            instance_type=args.instance_type,
            ami=args.ami,
            key_name=self._key.key_name,
            vpc_security_group_ids=[self._group.id],
            root_block_device={
                "encrypted": True,
                "volume_type": "gp3",
                "volume_size": args.disk_gib,
                "tags": self._tags(name),
            },
            # User data holds the cluster's token: pods must not read it.
            metadata_options={"http_tokens": "required", "http_put_response_hop_limit": 1},
            user_data=given.apply(lambda words: k3s.cloud_init(k3s.Node(*words))),
            tags=self._tags(name),
            # It is read at the first start alone, and a change would stop the server.
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["userData"]),
        )
        aws.ec2.EipAssociation(
            name, allocation_id=eip.allocation_id, instance_id=instance.id, opts=self._mine
        )
        return eip.public_ip, instance

    def _tags(self, name: str) -> dict[str, str]:
        return {"Name": name, CLIENT: SHARED}
