"""Runs one engine of ``inference_engines.py`` in a process of its own, under the Python that holds it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WORKER = Path(__file__).with_name("inference_engines.py")


@dataclass(frozen=True)
class Bench:
    """Where engines run.

    Attributes:
        folder: Gets tasks, results, labels and logs.
        nnunet_python: Python of an environment with nnunetv2; None if it is left out.
    """

    folder: Path
    nnunet_python: Path | None

    def run(self, engine: str, task: dict[str, Any], name: str) -> dict[str, Any]:
        """What the engine measured of itself; its labels lie in ``labels(name)``.

        Raises:
            subprocess.CalledProcessError: If it failed; ``log(name)`` says why.
        """
        python = self.nnunet_python if engine == "nnunet" else Path(sys.executable)
        if python is None:
            raise SystemExit("nnU-Net needs --nnunet-python")
        given, told = self.folder / f"{name}.task.json", self.folder / f"{name}.result.json"
        given.write_text(json.dumps(task | {"output": str(self.labels(name))}), encoding="utf-8")
        told.unlink(missing_ok=True)
        with self.log(name).open("wb") as log:
            subprocess.run([python, _WORKER, engine, given, told], check=True, stdout=log, stderr=log)
        result: dict[str, Any] = json.loads(told.read_text(encoding="utf-8"))
        return result

    def labels(self, name: str) -> Path:
        """The labels that a run writes."""
        return self.folder / f"{name}.nii.gz"

    def log(self, name: str) -> Path:
        """What a run printed."""
        return self.folder / f"{name}.log"
