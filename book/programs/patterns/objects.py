"""Bytes of a stranger as an object."""
import json
import pickle


class Stranger:
    def __reduce__(self):
        return print, ("never:   a function of the stranger's choice was called",)


def never(data):
    return pickle.loads(data)


def instead(data):
    value = json.loads(data)
    if not isinstance(value, dict) or not isinstance(value.get("score"), int):
        raise ValueError("give an object with a whole number as its score")
    return value


never(pickle.dumps(Stranger()))
print("instead:", instead('{"score": 7}'))
try:
    instead('{"score": "7"}')
except ValueError as refused:
    print("instead:", refused)
