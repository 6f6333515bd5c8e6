"""What Schemathesis needs beside the contract."""

import schemathesis


@schemathesis.hook
def before_load_schema(context, schema):
    """Gives the schema of an event the name that OpenAPI has for it from 3.2 on."""
    for operations in schema["paths"].values():
        stream = operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        for media in stream.values():
            if "x-itemSchema" in media:
                # There, `schema` is that of all events together.
                del media["schema"]
                media["itemSchema"] = media.pop("x-itemSchema")


@schemathesis.deserializer("text/html", "text/css", "text/javascript")
def text(context, response):
    """A page, a style and a script are their text."""
    return response.text


@schemathesis.serializer("application/x-tar")
def archive(context, value):
    """An archive is sent as it is; what is none is for the server to refuse."""
    return value if isinstance(value, bytes) else str(value).encode()
