"""What a task may choose: `crucible.yaml` beside it, or a `CrucibleConfig` in its `SandboxEnvironmentSpec`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from .._options import SandboxOptions

CONFIG_FILE = "crucible.yaml"


class CrucibleConfig(BaseModel):
    """The sandbox of a sample. What is not given is the server's default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: str = "agent"
    """One of the server's environments that are for sandboxes."""
    memory_bytes: PositiveInt | None = None
    cpus: PositiveInt | None = None
    pids: PositiveInt | None = None
    disk_bytes: PositiveInt | None = None
    idle_timeout_seconds: PositiveInt | None = None
    """The sandbox is removed when it was not used for so long: what a killed evaluation leaves ends by itself."""
    lifetime_seconds: PositiveInt | None = None
    """The sandbox is removed after so long; it is renewed while it is used."""
    labels: dict[str, str] = Field(default_factory=dict)
    url: str | None = None
    """The server, if it is not the one of CRUCIBLE_URL. The key is always that of CRUCIBLE_API_KEY."""

    def __hash__(self) -> int:
        """Inspect keeps configurations in sets, and labels are a dictionary."""
        return hash(self.model_dump_json())

    def options(self, labels: dict[str, str]) -> SandboxOptions:
        """For `create_sandbox`."""
        bounds = {
            "memory_bytes": self.memory_bytes,
            "cpus": self.cpus,
            "pids": self.pids,
            "disk_bytes": self.disk_bytes,
        }
        limits = {name: value for name, value in bounds.items() if value is not None}
        return SandboxOptions(
            environment=self.environment,
            limits=limits or None,
            idle_timeout_seconds=self.idle_timeout_seconds,
            lifetime_seconds=self.lifetime_seconds,
            labels=self.labels | labels,
        )

    @classmethod
    def of(cls, config: BaseModel | str | None) -> CrucibleConfig:
        """Of what Inspect passes on: nothing, a model, or the path of a file.

        Raises:
            ValueError: when it is none of these, or has a member that there is not.
        """
        if config is None:
            return cls()
        if isinstance(config, cls):
            return config
        if isinstance(config, BaseModel):
            raise ValueError(f"the sandbox crucible takes a CrucibleConfig or a file, not {type(config).__name__}")
        content: Any = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
        if content is not None and not isinstance(content, dict):
            raise ValueError(f"{config}: give members such as `environment: agent`")
        return cls(**(content or {}))
