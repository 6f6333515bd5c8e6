"""A local service that no sandbox may reach: listener.py CANARY DIRECTORY.

Writes its port to DIRECTORY/port, and creates DIRECTORY/reached on the first connection. The canary
on its command line is visible only to a program that can list the machine's processes.
"""

import pathlib
import socket
import sys

directory = pathlib.Path(sys.argv[2])
server = socket.create_server(("127.0.0.1", 0))
(directory / "port.new").write_text(str(server.getsockname()[1]))
(directory / "port.new").rename(directory / "port")
while True:
    server.accept()[0].close()
    (directory / "reached").touch()
