"""`python -m tests.pictures` draws each row of each dashboard from what a real Prometheus recorded of real workers."""
