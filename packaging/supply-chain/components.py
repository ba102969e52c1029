"""The libraries that are linked into the gateway for one target, as cargo tells them."""

import json
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments):
    done = subprocess.run(arguments, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


class Components:
    """`root` is the gateway's package and `libraries` are all others, sorted, as cargo describes them."""

    def __init__(self, target):
        metadata = json.loads(
            run("cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={target}")
        )
        packages = {package["id"]: package for package in metadata["packages"]}
        # `cargo metadata` also has what only tests need; `cargo tree` has what is linked.
        tree = run(
            "cargo", "tree", "--locked", "--edges=normal", f"--target={target}", "--prefix=none",
            "--package=approov-gateway", "--format={p}",
        )
        linked = {tuple(line.split(" ")[:2]) for line in tree.splitlines() if line}
        key = lambda package: (package["name"], "v" + package["version"])
        self.root = next(p for p in packages.values() if p["name"] == "approov-gateway")
        self.libraries = sorted(
            (p for p in packages.values() if key(p) in linked and p is not self.root), key=key
        )
        names = {p["id"] for p in self.libraries} | {self.root["id"]}
        self.dependencies = {
            packages[node["id"]]["id"]: sorted(
                dep["pkg"]
                for dep in node["deps"]
                if dep["pkg"] in names and any(kind["kind"] is None for kind in dep["dep_kinds"])
            )
            for node in metadata["resolve"]["nodes"]
            if node["id"] in names
        }
        lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
        self.checksums = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}
