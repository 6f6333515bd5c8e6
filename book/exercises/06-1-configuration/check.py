from exercise import ANSWER, Stage, expect

with Stage(6, "--config", str(ANSWER)) as stage:
    workers = stage.request("/queue").json()["workers"]
    expect(workers == 2, f"there are {workers} workers")
    limits = stage.evaluate("print(1)")["limits"]
    expect(limits["memory_bytes"] == 96 << 20, f"the limits are {limits}")
    expect(limits["timeout_seconds"] == 3, f"the limits are {limits}")
