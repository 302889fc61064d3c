"""Every metric that a worker exports, as documentation, rules, runbooks and dashboards need to know it."""

from prometheus_client import CollectorRegistry

from monitoring.define import Definition
from monitoring.metrics import Metrics

PROCESS = {
    "process_virtual_memory_bytes": "Virtual memory",
    "process_resident_memory_bytes": "Memory in use",
    "process_start_time_seconds": "When the process started",
    "process_cpu_seconds_total": "Processor time spent",
    "process_open_fds": "Open file descriptors",
    "process_max_fds": "File descriptors that may be open",
    "python_gc_objects_collected_total": "Objects that the collector freed",
    "python_gc_objects_uncollectable_total": "Objects that the collector could not free",
    "python_gc_collections_total": "Runs of the collector",
    "python_info": "The interpreter",
}
"""What prometheus_client itself exports of a process, on Linux."""
SCRAPED = {
    "up": "1 where the last scrape succeeded",
    "scrape_duration_seconds": "How long it took",
    "ALERTS": "Alerts that are pending or firing",
}
"""What Prometheus itself adds."""


def definitions() -> list[Definition]:
    """Ours, in the order of their definition."""
    return list(Metrics(CollectorRegistry()).definitions)


def series() -> set[str]:
    """Every name that a query may use, without those of recording rules."""
    return {name for definition in definitions() for name in definition.series} | PROCESS.keys() | SCRAPED.keys()


def unit(name: str) -> str:
    """The unit of a metric, which its name says."""
    name = name.removesuffix("_total")
    for ending, meaning in _UNITS.items():
        if name.endswith(ending):
            return meaning
    return "count"


_UNITS = {
    "_timestamp_seconds": "seconds since 1970",
    "_start_time_seconds": "seconds since 1970",
    "_seconds": "seconds",
    "_bytes": "bytes",
    "_ratio": "0 to 1",
    "_info": "always 1",
}
