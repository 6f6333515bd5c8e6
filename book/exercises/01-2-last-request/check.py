from exercise import ANSWER, Stage, eventually, expect

with Stage(1) as stage:
    try:
        stage.request("/eval", "POST", {"code": ANSWER.read_text()}, timeout=40)
    except OSError:
        pass  # the connection ends with the server
    gone = eventually(lambda: stage.process.poll() is not None, 3)
expect(gone, "the server still runs")
