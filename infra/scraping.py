"""Where Prometheus finds the processes of the stack on this machine."""

import json
from collections.abc import Mapping
from pathlib import Path

from infra.files import replace_text
from infra.settings import Settings


def targets_file(settings: Settings) -> Path:
    """A file as Prometheus's `file_sd_configs` reads it."""
    return settings.data_dir / "run" / "metrics.json"


def save_targets(settings: Settings, ports: Mapping[str, int]) -> None:
    """Name the metrics port of each process."""
    targets = [
        {"targets": [f"{settings.host}:{port}"], "labels": {"process": name}}
        for name, port in ports.items()
    ]
    file = targets_file(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_text(file, json.dumps(targets, indent=2) + "\n")
