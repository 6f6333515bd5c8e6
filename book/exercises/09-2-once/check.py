from exercise import Proxy, Stage, data_directory, expect, run_answer

with data_directory() as work, Stage(9, "--data-dir", work + "/data") as stage:
    bad_connection = Proxy(stage.url, lose_first_answer=True)
    printed = run_answer(bad_connection.url).strip()
    listed = stage.request("/eval?limit=100").json()["items"]
ids = [one["id"] for one in listed]
expect(ids == [printed], f"the server has the evaluations {ids}; your program prints {printed!r}")
