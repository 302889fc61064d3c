"""The stack's folder, and what its manifests for Kubernetes hold."""

from typing import Any

import yaml  # type: ignore[import-untyped]

from monitoring.generate import ROOT
from streams.settings import Settings

STACK = ROOT / "monitoring/stack"

MANIFESTS = sorted((STACK / "kubernetes").glob("*.yaml"))
RESOURCES: list[dict[str, Any]] = [
    one for path in MANIFESTS if path.name != "adapter.yaml" for one in yaml.safe_load_all(path.read_text())
]

PORT = str(Settings().monitoring_port)


def resource(kind: str) -> dict[str, Any]:
    (found,) = [one for one in RESOURCES if one["kind"] == kind]
    return found
