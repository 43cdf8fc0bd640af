"""The jobs' pages in the chart: off unless asked for, behind a Secret's token, at a Service of their own."""

from __future__ import annotations

import pytest
from tests.chart.rendered import Objects, Refused, Render

ON = {"dashboard": {"enabled": True, "tokenSecret": {"name": "pages"}}}


def of_kind(objects: Objects, kind: str) -> Objects:
    return [found for found in objects if found["kind"] == kind]


def test_off_by_default(render: Render) -> None:
    objects = render()
    assert len(of_kind(objects, "Service")) == 1
    assert "DASHBOARD" not in str(objects)


def test_a_port_a_service_and_a_token(render: Render) -> None:
    objects = render(ON)
    (deployment,) = of_kind(objects, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert variables["SHUFFLE_DASHBOARD_PORT"] == "8090"
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "dashboard-token"]
    assert mount["readOnly"]
    assert variables["SHUFFLE_DASHBOARD_TOKEN_FILE"] == f"{mount['mountPath']}/token"
    (volume,) = [each for each in pod["volumes"] if each["name"] == "dashboard-token"]
    assert volume["secret"] == {"secretName": "pages", "items": [{"key": "token", "path": "token"}]}
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    (service,) = [each for each in of_kind(objects, "Service") if each["metadata"]["name"].endswith("-dashboard")]
    (port,) = service["spec"]["ports"]
    assert ports[port["targetPort"]] == 8090
    assert service["spec"]["type"] == "ClusterIP"
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize(
    "dashboard",
    [
        {"enabled": True},
        {"enabled": True, "tokenSecret": {"name": ""}},
        {"enabled": True, "tokenSecret": {"name": "pages"}, "port": 8080},
        {"enabled": True, "tokenSecret": {"name": "pages"}, "port": 80},
        {"enabled": "yes"},
        {"from": "everybody"},
        {"token": "in the values"},
    ],
)
def test_what_is_refused(render: Render, dashboard: dict[str, object]) -> None:
    with pytest.raises(Refused):
        render({"dashboard": dashboard})
