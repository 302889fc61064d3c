"""The manifests for Kubernetes are valid, and name what exists in each other and in the code."""

import json
import re
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]

from monitoring.alerts import thresholds as t
from streams.settings import Settings
from tests.unit.manifests import PORT, RESOURCES, STACK, resource
from tests.unit.queries import KNOWN, metrics
from tests.unit.test_alerts import ALERTS

KUBERNETES = "1.31"


def test_manifests_are_valid() -> None:
    known = {"Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler"}
    for one in RESOURCES:
        if one["kind"] in known:
            kubernetes_validate.validate(one, KUBERNETES, strict=True)
        else:
            jsonschema.validate(one, CUSTOM[one["kind"]])
    assert {one["kind"] for one in RESOURCES} == known | CUSTOM.keys()


def test_an_invalid_manifest_is_noticed() -> None:
    wrong = json.loads(json.dumps(resource("Deployment")))
    wrong["spec"]["template"]["spec"]["containers"][0]["livenessprobe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(resource("PodMonitor") | {"spec": {"selectors": {}}}, CUSTOM["PodMonitor"])


def test_manifests_belong_together() -> None:
    deployment, autoscaler, monitor = (resource(k) for k in ("Deployment", "HorizontalPodAutoscaler", "PodMonitor"))
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for one in (deployment, resource("PodDisruptionBudget"), monitor):
        assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert re.fullmatch(t.JOBS, labels[monitor["spec"]["jobLabel"]])
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    assert str(port["containerPort"]) == PORT
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    assert [probe["path"] for probe in probes] == ["/livez", "/livez", "/readyz"]
    assert (
        {probe["port"] for probe in probes}
        == {port["name"]}
        == {e["port"] for e in monitor["spec"]["podMetricsEndpoints"]}
    )
    assert autoscaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    adapter = yaml.safe_load((STACK / "kubernetes/adapter.yaml").read_text())["rules"]["custom"][0]
    asked = autoscaler["spec"]["metrics"][0]["pods"]["metric"]["name"]
    assert {asked} == metrics(adapter["seriesQuery"]) <= KNOWN
    most = autoscaler["spec"]["maxReplicas"] + deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    assert most <= Settings().partitions, "a pod without a partition is never ready, and no rollout ends"
    rules = [rule.get("alert") for group in resource("PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
    assert {name for name in rules if name} == {alert.name for alert in ALERTS}


def _custom(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
        "properties": {
            "apiVersion": {"const": "monitoring.coreos.com/v1"},
            "kind": {"const": kind},
            "metadata": {"type": "object", "required": ["name"]},
            "spec": {"type": "object", "additionalProperties": False} | spec,
        },
    }


_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_DURATION = {"type": "string", "pattern": r"^\d+(ms|s|m|h|d)$"}
CUSTOM = {
    "PodMonitor": _custom(
        "PodMonitor",
        {
            "required": ["selector", "podMetricsEndpoints"],
            "properties": {
                "jobLabel": {"type": "string"},
                "selector": {"type": "object", "additionalProperties": False, "properties": {"matchLabels": _TEXTS}},
                "podMetricsEndpoints": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "port": {"type": "string"}, "path": {"type": "string"}, "interval": _DURATION,
                            "scrapeTimeout": _DURATION,
                        },
                    },
                },
            },
        },
    ),
    "PrometheusRule": _custom(
        "PrometheusRule",
        {
            "required": ["groups"],
            "properties": {
                "groups": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name", "rules"],
                        "additionalProperties": False,
                        "properties": {
                            "name": {"type": "string"},
                            "rules": {
                                "type": "array",
                                "items": {
                                    "type": "object",
                                    "required": ["expr"],
                                    "additionalProperties": False,
                                    "oneOf": [{"required": ["record"]}, {"required": ["alert"]}],
                                    "properties": {
                                        "record": {"type": "string"}, "alert": {"type": "string"},
                                        "expr": {"type": "string"}, "for": _DURATION, "labels": _TEXTS,
                                        "annotations": _TEXTS,
                                    },
                                },
                            },
                        },
                    },
                }
            },
        },
    ),
}  # fmt: skip
"""The part of the operator's definitions that is used here."""
