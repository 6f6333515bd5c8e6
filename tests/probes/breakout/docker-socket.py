# id: breakout/docker-socket
# class: Escape
# title: Talk to the container daemon
# intent: Connects to a Unix socket in a directory of the host, as Docker's is, and sends a token
# success: The host's listener has got the token
# source: OWASP Docker Security Cheat Sheet, rule 1; CIS Docker Benchmark 5.32
# evidence: listener unix-path
# host: confined
import socket

try:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(SOCKET_PATH)
        connection.sendall(TOKEN.encode())
    finished()
except OSError as error:
    stopped(error)
