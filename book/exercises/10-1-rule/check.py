from exercise import ANSWER, Stage, data_directory, eventually, expect

with data_directory() as work:
    with Stage(10, "--data-dir", work + "/data", "--rules", str(ANSWER)) as stage:
        good = stage.evaluate("print(1)")["id"]
        bad = stage.evaluate("while True: pass", timeout_seconds=1)["id"]

        def warned(id):
            return any(id in line and "WARN" in line for line in stage.stderr().splitlines())

        logged = eventually(lambda: warned(bad), 10)
        too_much = warned(good)
expect(logged, "the log has no warning about the evaluation that fails")
expect(not too_much, "the log warns about an evaluation that does not fail")
