"""The agent gateway: clients' agents reach LiveKit's API through it, and have none of its keys.

LiveKit lets whoever has the key, or any token with the `agent` grant, register under any name and
be given any room (livekit-server, pkg/service/agentservice.go, pkg/agent/worker.go). Here an agent
shows who it is by a key of its own: the client's ID and the client's token, used as LiveKit's SDKs
use an API key and its secret. What it may do then is its own client's alone:

- `GET /agent`: the worker's WebSocket, registered under the client's names (`workers`);
- `POST /twirp/livekit.…`: seven requests about rooms of the client's calls (`operations`);
- `/services/…`: the machine's models and the portal, for who has no way to their sockets, with the
  client's token itself (`services`);
- anything else is refused, as Twirp says it: `{"code": …, "msg": …}`.

A call's sound and signalling do not pass through: its job goes to LiveKit with a token for the one
room. A gateway that is restarted ends no call but the ones that are just being dialled.
"""
