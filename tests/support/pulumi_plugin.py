"""A stand-in for a provider's plugin, which previews need and no registry of ours has.

It takes every input as it is and knows no output: what a program asks of it is what the engine, and
a policy pack, are shown. `python -m support.pulumi_plugin` serves as Pulumi's plugins do: the port
on the first line of stdout, then gRPC (pulumi/provider.proto).
"""
# ruff: noqa: N802 - methods are named as the protocol names them

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import plugin_pb2, resource_pb2
from pulumi.runtime.proto import provider_pb2 as proto
from pulumi.runtime.proto.provider_pb2_grpc import (
    ResourceProviderServicer,
    add_ResourceProviderServicer_to_server,
)
from pulumi.runtime.proto.resource_pb2_grpc import ResourceMonitorStub

_TESTS = Path(__file__).parents[1]


def install(folder: Path, *providers: str) -> None:
    """Put plugins of these names into a folder that is to be on the PATH."""
    for provider in providers:
        program = folder / f"pulumi-resource-{provider}"
        command = f'PYTHONPATH="{_TESTS}" exec "{sys.executable}" -m support.pulumi_plugin'
        program.write_text(f"#!/bin/sh\n{command}\n")
        program.chmod(0o755)


class _Provider(ResourceProviderServicer):
    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version="0.0.0")

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return proto.CheckResponse(inputs=request.news)

    def Configure(self, request: Any, context: Any) -> Any:
        return proto.ConfigureResponse(acceptSecrets=True)

    def Check(self, request: Any, context: Any) -> Any:
        return proto.CheckResponse(inputs=request.news)

    def Construct(self, request: Any, context: Any) -> Any:
        """A component without anything in it."""
        component = resource_pb2.RegisterResourceRequest(
            type=request.type, name=request.name, parent=request.parent, object=request.inputs
        )
        with grpc.insecure_channel(request.monitorEndpoint) as channel:
            made = ResourceMonitorStub(channel).RegisterResource(component)
        return proto.ConstructResponse(urn=made.urn)

    def Cancel(self, request: Any, context: Any) -> Any:
        return Empty()


def main() -> None:
    """Serve until the engine ends this process."""
    server = grpc.server(ThreadPoolExecutor(4))
    add_ResourceProviderServicer_to_server(_Provider(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
