"""Unit, integration and fault tests, benchmarks, and what they share."""
