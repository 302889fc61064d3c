"""From torch towers to the bundle that a worker loads."""
