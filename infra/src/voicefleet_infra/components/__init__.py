"""Pulumi components: the ground under the platform. Needs the extra `voicefleet-infra[pulumi]`."""
