# id: kernel/packets
# class: Escape
# title: A socket for raw packets
# intent: Opens a socket of address family 17
# success: The host's kernel opens it, or complains about something else than the family
# source: CVE-2020-14386; SandboxEscapeBench, packet socket
# evidence: kernel
# host: confined
import socket

try:
    socket.socket(17, socket.SOCK_RAW).close()
    answered("OK")
except OSError as error:
    answered(errno.errorcode.get(error.errno, "OTHER"))
