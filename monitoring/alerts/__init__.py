"""Recording rules and alerts for Prometheus. Every number that one might tune is in `thresholds`."""
