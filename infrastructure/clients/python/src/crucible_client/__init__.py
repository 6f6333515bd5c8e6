"""Client of Crucible: run programs, keep sandboxes, grade.

from crucible_client import Client

with Client() as crucible:  # CRUCIBLE_URL, CRUCIBLE_API_KEY
    print(crucible.evaluate("print(6 * 7)").stdout.text)
    with crucible.create_sandbox() as sandbox:
        print(sandbox.exec(["uname", "-a"]).stdout.text)
"""

from ._calls import submission
from .aio import AsyncClient, AsyncSandbox
from .client import Client, Sandbox
from .errors import (
    ApiError,
    ConfigurationError,
    CrucibleError,
    FileError,
    FileIsDirectoryError,
    FileMissingError,
    FileNotRegularError,
    FilePermissionError,
    FileTooLargeError,
    NotFoundError,
    RefusedError,
    SandboxEndedError,
    TransportError,
    WaitTimeoutError,
)
from .models import Batch, Chunk, Evaluation, Execution, ExecutionSummary, Output, SandboxInfo

__version__ = "0.1.0"
__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncSandbox",
    "Batch",
    "Chunk",
    "Client",
    "ConfigurationError",
    "CrucibleError",
    "Evaluation",
    "Execution",
    "ExecutionSummary",
    "FileError",
    "FileIsDirectoryError",
    "FileMissingError",
    "FileNotRegularError",
    "FilePermissionError",
    "FileTooLargeError",
    "NotFoundError",
    "Output",
    "RefusedError",
    "Sandbox",
    "SandboxEndedError",
    "SandboxInfo",
    "TransportError",
    "WaitTimeoutError",
    "submission",
]
