# id: kernel/raw-ip
# class: Escape
# title: Forge packets
# intent: Opens a raw ICMP socket
# success: The host's kernel opens it
# source: CIS Docker Benchmark 5.4 (CAP_NET_RAW)
# evidence: kernel
# host: confined
import socket

try:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    answered("OK")
except OSError as error:
    answered(errno.errorcode.get(error.errno, "OTHER"))
