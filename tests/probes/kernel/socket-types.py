# id: kernel/socket-types
# class: Escape
# title: A socket of a type that no program needs
# intent: Opens sockets of the types 6, 5 and 4 of the internet's address families
# success: The host's kernel looks for the type, for which it would load a module
# source: CVE-2017-6074 (DCCP), CVE-2019-8956 (SCTP); socket(2)
# evidence: kernel
# host: confined
import socket

results = []
for family in socket.AF_INET, socket.AF_INET6:
    for kind in 6, 5, 4:
        try:
            socket.socket(family, kind, 0).close()
            results.append("OK")
        except OSError as error:
            # No support for the type: the kernel has looked for it.
            reached = error.errno == errno.ESOCKTNOSUPPORT
            results.append("OTHER" if reached else errno.errorcode.get(error.errno, "OTHER"))
answered(*results)
