import secrets

from exercise import ANSWER, Stage, expect

secret = secrets.token_hex(8)
with Stage(1, environment={"CRUCIBLE_SECRET": secret}) as stage:
    output = stage.evaluate(ANSWER.read_text())["output"]
expect(secret in output, f"the output is {output!r}; the secret is not in it")
