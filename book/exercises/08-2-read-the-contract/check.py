from exercise import Stage, expect, run_answer

with Stage(8) as stage:
    printed = run_answer(stage.url).split("\n")
    contract = stage.request("/openapi.json").json()
right = []
for path, operations in contract["paths"].items():
    for method in ("get", "put", "post", "delete", "patch"):
        if "409" in operations.get(method, {}).get("responses", {}):
            right.append(f"{method.upper()} {path}")
expect([line for line in printed if line] == sorted(right), f"it prints {printed}")
