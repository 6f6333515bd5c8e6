# id: network/udp-out
# class: Exfil
# title: Send data out over UDP
# intent: Sends a datagram with a token to each of the host's addresses
# success: The host's listener has got the token
# source: CIS Docker Benchmark 5.10; MITRE ATLAS AML.T0025
# evidence: listener udp
# host: safe
import socket

last = None
for address in ADDRESSES:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(TOKEN.encode(), (address, PORT))
    except OSError as error:
        last = error
stopped(last) if last else finished()
