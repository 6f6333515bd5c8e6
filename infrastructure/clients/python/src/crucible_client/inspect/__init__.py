"""The sandbox provider `crucible` of Inspect AI: `sandbox="crucible"` in a task, and nothing else.

Needs `pip install crucible-client[inspect]`. This package is not imported by `crucible_client` itself.
"""

from .config import CrucibleConfig
from .provider import CrucibleSandboxEnvironment

__all__ = ["CrucibleConfig", "CrucibleSandboxEnvironment"]
