# id: kernel/vsock
# class: Escape
# title: A socket to the hypervisor
# intent: Opens a socket of address family 40
# success: The host's kernel opens it, or complains about something else than the family
# source: isolate 2.4; moby issue 44562: vsock has no namespace
# evidence: kernel
# host: confined
import socket

try:
    socket.socket(40, socket.SOCK_STREAM).close()
    answered("OK")
except OSError as error:
    answered(errno.errorcode.get(error.errno, "OTHER"))
