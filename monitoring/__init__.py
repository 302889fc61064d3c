"""What an operator sees: metrics, health, alert rules, dashboards."""
