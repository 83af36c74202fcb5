"""Contract of the files for other machines: the commands in them exist, with their flags; Ray is shut off from all but
itself; nothing runs with more rights than it needs, and what comes from elsewhere is pinned."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from rodin.cli.main import COMMANDS, GROUPS, main

ROOT = Path(__file__).parents[2]
JOBS = sorted(ROOT.glob("examples/slurm/*.sbatch"))
MANIFESTS = sorted(ROOT.glob("examples/kubernetes/*.yaml"))
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
COMMAND = re.compile(r"(?:^|[\s\"'])rodin ((?:[a-z]+ )+|--help)([^\n#&`']*)")
PART_OF = "app.kubernetes.io/part-of"


def commands_of(path: Path) -> list[tuple[list[str], set[str]]]:
    """The words and the flags of each `rodin` command in a file."""
    text = path.read_text().replace("\\\n", " ").replace("\n    ", "\n")
    found = [(match[1].split(), set(re.findall(r"--[a-z-]+", match[2]))) for match in COMMAND.finditer(text)]
    return [(words, flags) for words, flags in found if words[0] in COMMANDS or words[0] in GROUPS]


@pytest.mark.parametrize("path", [*JOBS, *MANIFESTS, ROOT / "Dockerfile", ROOT / "scripts/try-wheel"], ids=str)
def test_commands_and_flags_are_there(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, flags in commands_of(path):
        name = words[:2] if words[0] in GROUPS else words[:1]
        with pytest.raises(SystemExit):
            main([*name, "--help"])
        known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
        assert flags <= known, f"{path.name}: rodin {' '.join(name)}"


def test_something_was_compared() -> None:
    names = {words[0] for path in [*JOBS, *MANIFESTS] for words, _ in commands_of(path)}
    assert {"synth", "fit", "train"} <= names


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def clusters() -> list[dict[str, Any]]:
    found = [one for path in MANIFESTS for one in documents(path)]
    jobs = [one["spec"]["rayClusterSpec"] for one in found if one["kind"] == "RayJob"]
    return [one["spec"] for one in found if one["kind"] == "RayCluster"] + jobs


def test_ray_is_reached_by_itself_alone() -> None:
    (policy,) = (one for path in MANIFESTS for one in documents(path) if one["kind"] == "NetworkPolicy")
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    selected = policy["spec"]["podSelector"]["matchLabels"]
    for rule in policy["spec"]["ingress"]:
        assert rule["from"], "a rule without a source lets everybody in"
        if "ports" not in rule:
            assert rule["from"] == [{"podSelector": {"matchLabels": selected}}]
    (job,) = (one for path in MANIFESTS for one in documents(path) if one["kind"] == "RayJob")
    assert job["spec"]["submissionMode"] == "HTTPMode", "a pod that submits is none of the cluster's"
    assert len(clusters()) == 2
    for cluster in clusters():
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            labels = group["template"]["metadata"]["labels"]
            assert selected.items() <= labels.items()


def test_pods_have_few_rights() -> None:
    for cluster in clusters():
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            pod = group["template"]["spec"]
            assert pod["automountServiceAccountToken"] is False
            assert pod["securityContext"]["runAsNonRoot"] is True
            (container,) = pod["containers"]
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["resources"]["limits"] == container["resources"]["requests"]
            assert re.fullmatch(r".+:\d+\.\d+\.\d+", container["image"])
            volumes = {volume["name"] for volume in pod["volumes"]}
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_the_container_has_no_rights() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    stages = [line.split()[-1] for line in lines if line.startswith("FROM")]
    assert stages == ["build", "base", "cluster", "rodin"]
    users = [line for line in lines if line.startswith("USER")]
    assert users == ["USER 1000", "USER 1000"], "of the two stages that are run"
    assert all(re.search(r":\d", line) or line.split()[1] in stages for line in lines if line.startswith("FROM"))


def test_the_container_has_the_libraries_of_blender() -> None:
    named = re.findall(r"^(\S+) \S+\.so", (ROOT / "scripts/debian-libraries").read_text(), re.MULTILINE)
    assert len(named) >= 7
    assert set(named) <= set((ROOT / "Dockerfile").read_text().split())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_few_rights_and_pinned_actions(path: Path) -> None:
    (workflow,) = documents(path)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert "timeout-minutes" in job, name
        writes = {key for key, value in job.get("permissions", {}).items() if value == "write"}
        assert writes <= {"publish": {"id-token", "pages"}, "notes": {"contents"}}.get(name, set()), name
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"(actions|pypa)/[\w-]+@v\d+\.\d+\.\d+", step["uses"])
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_what_workflows_run_is_there() -> None:
    text = "\n".join(path.read_text() for path in WORKFLOWS)
    targets = set(re.findall(r"\bmake ([a-z-]+)", text)) - {"sure"}
    rules = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    scripts = set(re.findall(r"\bscripts/[\w-]+", text))
    assert len(targets) >= 4
    assert targets <= rules
    assert scripts
    assert all((ROOT / script).stat().st_mode & 0o111 for script in scripts)
