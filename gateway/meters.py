"""Every metric by name, once. Labels are bounded: accounts, endpoints, topics and stable words only."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_FAST = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15, 60, 300)


class Meters:
    """One process's figures. ``registry`` is what /metrics shows."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._of_endpoints(registry)
        self._of_partners(registry)
        self.accepted = Counter(
            "gateway_accepted", "Events written down and acknowledged", ["account"], registry=registry
        )
        self.known = Counter(
            "gateway_duplicates",
            "Events already known, at the door or in the store",
            ["account", "where"],
            registry=registry,
        )
        self.refused = Counter("gateway_refused", "Requests refused", ["account", "reason"], registry=registry)
        self.limited = Counter("gateway_limited", "Requests pushed back", ["account", "cause"], registry=registry)
        self.ack = Histogram(
            "gateway_ack_seconds", "From the last byte of a request to its answer", buckets=_FAST, registry=registry
        )
        self.mllp = Counter(
            "gateway_mllp",
            "What an MLLP listener met: connections, turned_away, frames, junk (bytes outside of frames), restarted (frames that began again), too_large, timeouts,"
            " unanswered (frames not written down in time)",
            ["account", "met"],
            registry=registry,
        )
        self.mllp_open = Gauge(
            "gateway_mllp_connections", "Connections that are open to an MLLP listener", ["account"], registry=registry
        )
        self.projected = Counter("gateway_projected", "Entries applied", ["account", "topic"], registry=registry)
        self.dead = Counter(
            "gateway_dead_letters", "Entries that a person must look at", ["account", "cause"], registry=registry
        )
        self.unknown = Counter(
            "gateway_unknown_values", "Values that no table knows", ["account", "field"], registry=registry
        )
        self.mapped = Counter(
            "gateway_mapped",
            "Entries read by a mapping, by the standing of the version that read (live, canary) and outcome: ok, unknown (a value no table knows), error",
            ["mapping", "standing", "outcome"],
            registry=registry,
        )
        self.superseded = Counter("gateway_superseded", "Versions that came too late", ["account"], registry=registry)
        self.flagged = Counter(
            "gateway_flagged",
            "Changes that a person may want to look at: regressed, sum_mismatch, refund_exceeds_paid, unknown_status, unit_cycle, unit_depth",
            ["account", "flag"],
            registry=registry,
        )
        self.events = Counter("gateway_events", "Events published", ["type"], registry=registry)
        self.tampered = Counter(
            "gateway_tampered_values",
            "Sealed values that were altered or moved, by who met them: deliver, project, act, reseal, erase, read (a list), api, console, poll",
            ["stage"],
            registry=registry,
        )
        self.backlog = Gauge("gateway_backlog", "Entries not yet projected", ["lane"], registry=registry)
        self.backlog_age = Gauge(
            "gateway_backlog_age_seconds", "Age of the oldest entry not yet projected", ["lane"], registry=registry
        )
        self.deliveries = Gauge("gateway_deliveries", "Deliveries by open state", ["state"], registry=registry)

    def _of_partners(self, registry: CollectorRegistry) -> None:
        self.errands = Counter("gateway_errands", "Re-reads from partners", ["account", "outcome"], registry=registry)
        self.actions = Counter(
            "gateway_actions",
            "What partners were asked to do, by what came of it: done, refused, expired, cancelled, unknown, put_off",
            ["account", "outcome"],
            registry=registry,
        )
        self.actions_unknown = Gauge(
            "gateway_actions_unknown", "Actions of which nobody knows whether they were done", registry=registry
        )
        self.partner = Counter(
            "gateway_partner_calls", "Calls to partner APIs", ["account", "outcome"], registry=registry
        )

    def _of_endpoints(self, registry: CollectorRegistry) -> None:
        self.filter_faults = Counter(
            "gateway_filter_faults",
            "Events not sent because an endpoint's filter could not be asked about them, mostly for a field that is not there",
            ["endpoint"],
            registry=registry,
        )
        self.attempts = Counter("gateway_attempts", "Attempts to deliver", ["endpoint", "outcome"], registry=registry)
        self.circuit = Gauge(
            "gateway_endpoint_circuit",
            "Circuit of an endpoint: 0 closed, 1 half-open (one send is to tell), 2 open (nothing is tried)",
            ["endpoint"],
            registry=registry,
        )
        self.our_faults = Counter(
            "gateway_delivery_faults",
            "Attempts that our own side could not make (no route, no resolver, no keys); they cost no retry",
            ["endpoint", "cause"],
            registry=registry,
        )
        self.took = Histogram(
            "gateway_attempt_seconds",
            "From a send's start to its outcome, by endpoint",
            ["endpoint"],
            buckets=_FAST,
            registry=registry,
        )
        self.end_to_end = Histogram(
            "gateway_end_to_end_seconds",
            "From writing down to the endpoint's 2xx, first attempts",
            buckets=_FAST,
            registry=registry,
        )
