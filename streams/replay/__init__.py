"""Replays: yesterday's log through tomorrow's ranker."""
