"""What the test of the chart asks of manifests.

    manifests.py plain FOLDER            chart's manifests (standard input) as base for kustomize, into FOLDER
    manifests.py config                  gateway.yaml of the ConfigMap
    manifests.py core                    without kinds that need a CRD
    manifests.py egress                  ports that the NetworkPolicy allows connections to
    manifests.py promises                fails if a manifest breaks a promise of the chart
    manifests.py pod IMAGE SECRET FILE   ConfigMap, Secret and Deployment for `podman play kube`, with FILE as
                                         gateway.yaml
"""

import base64
import sys
from pathlib import Path

import yaml


def named(manifests, kind):
    return next(manifest for manifest in manifests if manifest["kind"] == kind)


def dump(manifests):
    return yaml.safe_dump_all(manifests, sort_keys=False, width=1000)


def plain(manifests, folder):
    """The same manifests without what is Helm's own."""
    kept = []
    for manifest in manifests:
        if manifest["kind"] == "ConfigMap":
            (folder / "gateway.yaml").write_text(manifest["data"]["gateway.yaml"])
            continue
        manifest["metadata"].pop("namespace")
        template = manifest["spec"]["template"]["metadata"] if manifest["kind"] == "Deployment" else {}
        template.pop("annotations", None)
        for metadata in [manifest["metadata"], template]:
            for label in ["helm.sh/chart", "app.kubernetes.io/managed-by"]:
                metadata.get("labels", {}).pop(label, None)
        kept.append(manifest)
    head = "# Made from the chart by packaging/chart/test; UPDATE=1 packaging/chart/test writes it anew.\n"
    (folder / "manifests.yaml").write_text(head + dump(kept))


def promises(manifests):
    forbidden = {"CustomResourceDefinition", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}
    kinds = {manifest["kind"] for manifest in manifests}
    assert not kinds & forbidden, kinds
    assert not any("Webhook" in kind for kind in kinds), kinds
    deployment = named(manifests, "Deployment")["spec"]
    pod = deployment["template"]["spec"]
    container = pod["containers"][0]
    server = yaml.safe_load(named(manifests, "ConfigMap")["data"]["gateway.yaml"])["server"]
    seconds = lambda key: int(server[key].removesuffix("s"))
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    least = sleep + seconds("drain_delay") + seconds("grace_period")
    assert pod["terminationGracePeriodSeconds"] > least, (pod["terminationGracePeriodSeconds"], least)
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert pod["enableServiceLinks"] is False and pod["automountServiceAccountToken"] is False
    assert server["watch"] is True
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
        assert container[probe]["httpGet"]["port"] == "health" and ports["health"] == 8789
    secret = next(volume for volume in pod["volumes"] if volume["name"] == "secret")
    assert secret["secret"]["defaultMode"] == 0o440


def pod(manifests, image, secret, config):
    """podman has no kubelet: it would run HTTP probes as a program of the container, which has none."""
    settings, deployment = named(manifests, "ConfigMap"), named(manifests, "Deployment")
    settings["data"]["gateway.yaml"] = Path(config).read_text()
    deployment["spec"]["replicas"] = 1
    spec = deployment["spec"]["template"]["spec"]
    spec["containers"][0]["image"] = image
    for probe in ["startupProbe", "livenessProbe", "readinessProbe", "lifecycle", "ports"]:
        spec["containers"][0].pop(probe, None)
    volume = next(volume for volume in spec["volumes"] if volume["name"] == "secret")
    name = volume["secret"]["secretName"]
    volume["secret"]["optional"] = False  # podman 4.3 fails without it.
    kept = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "data": {"secret": base64.b64encode(Path(secret).read_bytes()).decode()},
    }
    return [settings, kept, deployment]


manifests = [manifest for manifest in yaml.safe_load_all(sys.stdin) if manifest]
match sys.argv[1:]:
    case ["plain", folder]:
        plain(manifests, Path(folder))
    case ["config"]:
        print(named(manifests, "ConfigMap")["data"]["gateway.yaml"], end="")
    case ["core"]:
        print(dump([m for m in manifests if not m["apiVersion"].startswith("monitoring.coreos.com")]), end="")
    case ["egress"]:
        rules = named(manifests, "NetworkPolicy")["spec"]["egress"]
        print(*[port["port"] for rule in rules for port in rule["ports"]])
    case ["promises"]:
        promises(manifests)
    case ["pod", image, secret, config]:
        print(dump(pod(manifests, image, secret, config)), end="")
    case _:
        sys.exit(__doc__)
