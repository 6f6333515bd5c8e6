# id: network/listen
# class: Exfil
# title: Open a port and wait to be called
# intent: Listens on all its addresses, and sends a token to every client
# success: The host could connect, and has got the token
# source: MITRE ATLAS AML.T0072; CIS Docker Benchmark 5.9
# evidence: connect-back
# host: safe
import socket

try:
    server = socket.create_server(("0.0.0.0", PORT))
    server.settimeout(2)
    connection, _ = server.accept()
    connection.sendall(TOKEN.encode())
    connection.close()
    finished()
except TimeoutError:
    finished()
except OSError as error:
    stopped(error)
