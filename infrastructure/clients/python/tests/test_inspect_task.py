"""A whole task of Inspect: samples with files and a setup, a model that is played, tools, and a scorer."""

from __future__ import annotations

from pathlib import Path

import pytest
from inspect_ai import Task, eval_async
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer
from inspect_ai.solver import TaskState, basic_agent
from inspect_ai.tool import bash, bash_session, python, text_editor
from inspect_ai.util import SandboxEnvironmentSpec, sandbox

from crucible_client import AsyncClient
from crucible_client.inspect import CrucibleConfig

MODEL = "mockllm/model"

pytestmark = pytest.mark.sandbox


@scorer(metrics=[accuracy()])
def file_holds() -> Scorer:
    """Reads what the agent has left, as a scorer of a real task does."""

    async def score(state: TaskState, target: Target) -> Score:
        content = await sandbox().read_file("answer.txt")
        listed = await sandbox().exec(["ls", "-1"])
        return Score(value=content.strip() == target.text, answer=content, explanation=listed.stdout)

    return score


def calls() -> list[ModelOutput]:
    def call(name: str, **arguments: object) -> ModelOutput:
        output = ModelOutput.for_tool_call(MODEL, name, dict(arguments))
        # Without it, Inspect counts tokens, and fetches the table for that from the internet.
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output

    return [
        call("bash", command="cat given.txt && cat setup.txt && id -un && pwd"),
        call("python", code="print(sum(range(10)))"),
        call("text_editor", command="create", path="/home/agent/answer.txt", file_text="forty-one\n"),
        call("text_editor", command="str_replace", path="/home/agent/answer.txt", old_str="one", new_str="two"),
        call("bash_session", action="type_submit", input="echo in a session; cd /tmp; pwd"),
        call("bash", command="exit 3"),
        call("submit", answer="done"),
    ]


def task() -> Task:
    return Task(
        dataset=[
            Sample(
                id="files",
                input="Write forty-two into answer.txt.",
                target="forty-two",
                files={"given.txt": "a file of the sample\n"},
                setup="#!/bin/sh\necho from the setup > setup.txt\n",
            )
        ],
        solver=basic_agent(tools=[bash(timeout=60), python(timeout=60), text_editor(), bash_session()]),
        scorer=file_holds(),
        sandbox=SandboxEnvironmentSpec("crucible", CrucibleConfig(idle_timeout_seconds=300)),
    )


async def run(directory: Path) -> EvalLog:
    model = get_model(MODEL, custom_outputs=calls())
    [log] = await eval_async(task(), model=model, log_dir=str(directory), log_format="json")
    return log


async def test_a_task_with_tools_and_a_scorer_runs(
    client: AsyncClient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = await run(tmp_path_factory.mktemp("logs"))
    assert log.status == "success", log.error
    assert log.samples is not None
    sample = log.samples[0]
    assert sample.error is None, sample.error
    results = [message for message in sample.messages if message.role == "tool"]
    texts = {message.function: "" for message in results}
    for message in results:
        assert message.error is None, message.error
        texts[str(message.function)] += message.text
    assert "a file of the sample\nfrom the setup\nagent\n/home/agent" in texts["bash"]
    assert "45" in texts["python"]
    assert "in a session" in texts["bash_session"]
    assert "/tmp" in texts["bash_session"]
    score = next(iter((sample.scores or {}).values()))
    assert score.value in (1, True, "C"), score
    # Nothing is left: the sample's sandbox was removed with it.
    left = [info.id async for info in client.sandboxes() if "inspect-task" in info.labels and info.status != "ended"]
    assert left == []
