"""Prometheus metrics (names and units after the Prometheus naming guide)."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RECONCILIATIONS = Counter(
    "voicefleet_reconciliations_total", "Reconciliations by kind and result.", ["kind", "result"]
)
RECONCILE_SECONDS = Histogram(
    "voicefleet_reconcile_duration_seconds", "Duration of a reconciliation.", ["kind"]
)
ACTIONS = Counter("voicefleet_actions_total", "Actions by kind and result.", ["action", "result"])
QUEUE_DEPTH = Gauge("voicefleet_queue_depth", "Keys waiting to be reconciled.")
DRIFT = Counter(
    "voicefleet_drift_total", "Things changed by hand at a vendor.", ["power", "result"]
)
ORPHANS = Gauge(
    "voicefleet_orphans",
    "Things at vendors with our mark and no owner.",
    ["fleet"],
)
ORPHANS_COST = Gauge(
    "voicefleet_orphans_monthly_cost_minor",
    "What vendors bill for orphans a month, in the smallest unit of the currency.",
    ["fleet"],
)
TASKS = Gauge("voicefleet_asyncio_tasks", "Tasks of the controller's event loop.")
LEADER = Gauge("voicefleet_leader", "1 while this process holds the lease.")
KUBE_WRITES = Counter(
    "voicefleet_kubernetes_writes_total", "Writes to the API server.", ["verb", "resource"]
)
TIME_TO_ANSWERING = Histogram(
    "voicefleet_time_to_answering_seconds",
    "From a client's creation to its first Answering.",
    buckets=(1, 2, 3, 5, 8, 13, 21, 34, 60, 120, 600),
)
