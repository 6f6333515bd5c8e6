# id: kernel/secret-memory
# class: HostDoS
# title: Memory that the host cannot look into
# intent: Calls memfd_secret()
# success: The host's kernel looks at the arguments instead of refusing
# source: memfd_secret(2); measured with Docker 20.10's own profile
# evidence: kernel
# host: confined
answered(syscall("memfd_secret", 0))
