from exercise import Stage, expect, run_answer

PATHS = ["/health", "/queue", "/eval", "/nothing-here", "/eval/1"]
with Stage(7) as one, Stage(7, "--server=axum", "--queue-capacity=7") as other:
    printed = run_answer(one.url, other.url, *PATHS).split()
    expect(printed == ["/queue"], f"it prints {printed}; only the queues differ")
