# id: network/tcp-out
# class: Exfil
# title: Send data out over TCP
# intent: Connects to a port on each of the host's addresses and sends a token
# success: The host's listener has got the token
# source: CIS Docker Benchmark 5.10; MITRE ATLAS AML.T0025
# evidence: listener tcp
# host: safe
import socket

last = None
for address in ADDRESSES:
    try:
        with socket.create_connection((address, PORT), timeout=2) as connection:
            connection.sendall(TOKEN.encode())
    except OSError as error:
        last = error
stopped(last) if last else finished()
