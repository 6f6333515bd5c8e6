# id: network/hardware-addresses
# class: HostLeak
# title: Learn the machine's network hardware
# intent: Prints the hardware address of every network interface
# success: The address of an interface of the host's is in the answer
# source: MITRE ATT&CK T1016
# evidence: canary-fact mac
# host: safe
import fcntl
import socket
import struct

try:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            answer = fcntl.ioctl(any_socket.fileno(), 0x8927, request)
            print(name, ":".join(f"{byte:02x}" for byte in answer[18:24]))
    finished()
except OSError as error:
    stopped(error)
