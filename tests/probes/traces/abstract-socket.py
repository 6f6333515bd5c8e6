# id: traces/abstract-socket
# class: Lateral
# title: Talk to a neighbour over an abstract socket
# intent: The first program listens on an abstract Unix socket, the second one connects
# success: The first one's secret is in the second one's answer
# source: unix(7), abstract sockets; CVE-2020-15257
# evidence: pair together
# host: confined
# seconds: 20
import socket

try:
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"\0{PLACE}")
    server.listen()
    finished()
    server.accept()[0].sendall(SECRET.encode())
    server.accept()  # until it is cancelled
except OSError as error:
    stopped(error)

# --- second program ---
import socket
import time

last = None
for _ in range(80):
    try:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(2)
        connection.connect(f"\0{PLACE}")
        print(connection.recv(100).decode())
        last = None
        break
    except OSError as error:
        last = error
        time.sleep(0.1)
stopped(last) if last else finished()
