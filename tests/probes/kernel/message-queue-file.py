# id: kernel/message-queue-file
# class: Lateral
# title: A message queue without its system call
# intent: Creates a queue as a file of /dev/mqueue, where mq_open is refused
# success: The host's kernel creates it, and counts it for the user
# source: mq_overview(7): queues are counted for each user, in RLIMIT_MSGQUEUE
# evidence: kernel
# host: confined
try:
    os.close(os.open(f"/dev/mqueue/crucible-{os.getpid()}", os.O_CREAT | os.O_RDWR))
    os.unlink(f"/dev/mqueue/crucible-{os.getpid()}")
    answered("OK")
except OSError as error:
    answered(errno.errorcode.get(error.errno, "OTHER"))
