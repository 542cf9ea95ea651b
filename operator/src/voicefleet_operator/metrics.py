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
QUEUE_OLDEST = Gauge(
    "voicefleet_queue_oldest_seconds", "How long the oldest key has been waiting to be taken."
)
VENDOR_REQUESTS = Counter(
    "voicefleet_vendor_requests_total",
    "Requests to vendors. Result: answered, throttled (429), failed (5xx, no answer, no"
    " connection), not_sent (held back by a limit, an open circuit or a lost lease).",
    ["vendor", "result"],
)
VENDOR_SECONDS = Histogram(
    "voicefleet_vendor_request_seconds",
    "From sending a request to its answer.",
    ["vendor"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)
CIRCUITS_OPEN = Gauge(
    "voicefleet_vendor_circuits_open", "Accounts that are left alone, being down.", ["vendor"]
)
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
_ONBOARDING = (1, 2, 3, 5, 8, 13, 21, 34, 60, 120, 600)
TIME_TO_READY = Histogram(
    "voicefleet_time_to_ready_seconds",
    "From a client's creation to its first Ready.",
    buckets=_ONBOARDING,
)
TIME_TO_ANSWERING = Histogram(
    "voicefleet_time_to_answering_seconds",
    "From a client's creation to its first Answering.",
    buckets=_ONBOARDING,
)
