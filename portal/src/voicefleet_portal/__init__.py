"""Calls, as people see them: taken from clients' pods, kept by client, shown on pages.

Pods reach `receiver` on a Unix socket, each with its own token. People reach `web` on a port of
this machine: pages and the same as JSON. What both know lies in `store` (complete calls, on disk)
and `live` (calls under way, in memory).
"""
