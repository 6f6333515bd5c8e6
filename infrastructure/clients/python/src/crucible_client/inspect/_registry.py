"""What the entry point names: importing it registers the provider."""

from .provider import CrucibleSandboxEnvironment

__all__ = ["CrucibleSandboxEnvironment"]
