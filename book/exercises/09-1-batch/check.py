import json
import tempfile

from exercise import Proxy, Stage, data_directory, expect, run_answer

PROGRAMS = ["print(1)", "exit(3)", "assert 1 == 2", "import os; os.abort()", "pass", "print(2)"]
with data_directory() as work, tempfile.NamedTemporaryFile("w") as programs:
    json.dump(PROGRAMS, programs)
    programs.flush()
    with Stage(9, "--data-dir", work + "/data") as stage:
        proxy = Proxy(stage.url)
        printed = run_answer(proxy.url, programs.name).strip()
        listed = stage.request("/eval?limit=100").json()["items"]
expect(printed == "3", f"it prints {printed!r}; three of the programs end with 0")
expect(len(listed) == len(PROGRAMS), f"the server has {len(listed)} evaluations, not {len(PROGRAMS)}")
posted = [path for method, path in proxy.requests if method == "POST"]
expect(posted == ["/batches"], f"it sends POST to {posted}; one batch is one request")
