"""The few shapes that queries have, so that each matches job and instance and rates over Grafana's own interval."""

from monitoring.dashboards.build import WORKERS

_RATE = "[$__rate_interval]"


def rate(name: str, by: str, matchers: str = "", function: str = "rate") -> str:
    """A counter a second, summed up by these labels."""
    return f"sum by ({by}) ({function}(feedranker_{name}{{{_both(matchers)}}}{_RATE}))"


def increase(name: str, by: str, matchers: str = "") -> str:
    """A counter's rise in each step."""
    return rate(name, by, matchers, "increase")


def share(name: str, matchers: str, of: str = "", by: str = "job") -> str:
    """Of the events that `of` selects, those that `matchers` selects."""
    return f"{rate(name, by, matchers)} / {rate(name, by, of)}"


def quantile(q: float, name: str, by: str, matchers: str = "") -> str:
    """Of all workers together: quantiles of single ones cannot be averaged."""
    return f"histogram_quantile({q}, {rate(f'{name}_bucket', f'{by}, le', matchers)})"


def mean(name: str, by: str, matchers: str = "") -> str:
    """The mean of what a histogram has observed lately."""
    return f"{rate(f'{name}_sum', by, matchers)} / {rate(f'{name}_count', by, matchers)}"


def by_bundle(name: str, matchers: str = "", le: bool = False) -> str:
    """A counter a second by the bundle that its workers serve now."""
    more = ", le" if le else ""
    served = f"feedranker_bundle_info{{{WORKERS}}}"
    return (
        f"sum by (job, version{more}) (\n"
        f"  {rate(name, f'job, instance{more}', matchers)}\n"
        f"  * on (job, instance) group_left (version) {served}\n"
        ")"
    )


def gauge(name: str, matchers: str = "") -> str:
    return f"feedranker_{name}{{{_both(matchers)}}}"


def age(timestamp: str) -> str:
    """Seconds since a time, where there is one. A scrape is dated when it begins, so that its values may be younger."""
    return f"clamp_min(time() - ({timestamp} > 0), 0)"


def _both(matchers: str) -> str:
    return f"{WORKERS},{matchers}" if matchers else WORKERS
