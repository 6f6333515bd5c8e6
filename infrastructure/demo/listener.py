"""A local service that should not be reached: listener.py CANARY FOLDER.

Writes its port to FOLDER/port, and makes FOLDER/reached when somebody connects. The canary on its
command line is what only a program that sees the machine's processes can know.
"""

import pathlib
import socket
import sys

folder = pathlib.Path(sys.argv[2])
server = socket.create_server(("127.0.0.1", 0))
(folder / "port.new").write_text(str(server.getsockname()[1]))
(folder / "port.new").rename(folder / "port")
while True:
    server.accept()[0].close()
    (folder / "reached").touch()
