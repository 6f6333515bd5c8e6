from exercise import Stage, expect, run_answer

with Stage(2, "--workers=1", "--queue-capacity=5") as stage:
    run_answer(stage.url)
    reply = stage.request("/eval", "POST", {"code": "print(1)"})
    expect(reply.status == 503, f"the next submission is answered {reply.status}")
    expect(reply.headers["Retry-After"], "there is no Retry-After")
