"""Text of a stranger in a log."""
import json

LABEL = "ok\n12:00:01 INFO login of administrator"


def never(label):
    return f"12:00:00 INFO evaluation {label}"


def instead(label):
    return json.dumps({"time": "12:00:00", "level": "INFO", "message": "evaluation", "label": label})


print("never:  ", len(never(LABEL).splitlines()), "lines")
print("instead:", len(instead(LABEL).splitlines()), "line")
