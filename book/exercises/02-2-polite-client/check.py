from exercise import Stage, expect, run_answer

with Stage(2, "--workers=1", "--queue-capacity=2", "--timeout-seconds=2") as stage:
    printed = run_answer(stage.url, timeout=90).split()
expect(printed == [str(number) for number in range(8)], f"your program prints {printed}")
