import socket

from exercise import ANSWER, Stage, expect, fail

head = ANSWER.read_text().strip().replace("\r", "").replace("\n", "\r\n") + "\r\n\r\n"
expect("content-length: 1000" in head.lower(), "it announces no body of 1,000 bytes")
with Stage(7) as stage:
    host, port = stage.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=4) as connection:
        connection.sendall(head.encode())
        try:
            first = connection.recv(65536).decode().split("\r\n")[0]
        except TimeoutError:
            fail("the server waits for the body")
expect(" 403 " in first + " ", f"the server answers {first!r}")
