# id: resources/root-disk
# class: HostDoS
# title: Fill the host's disk through the root
# intent: Writes files of 16 MiB to every directory outside of its scratch space until it is stopped
# success: The files of the container, or of the host, have grown by far more than the limit
# source: CIS Docker Benchmark 5.13; NIST SP 800-190, 4.4.4
# evidence: grows root 300
# host: confined
# alone: yes
import time

SCRATCH = ("/tmp", "/dev", "/proc", "/sys")
block = b"x" * (16 << 20)
written = 0
names = []
refusal = None
for directory, directories, _ in os.walk("/"):
    directories[:] = [name for name in directories if not os.path.join(directory, name).startswith(SCRATCH)]
    try:
        while written < AMOUNT:
            names.append(f"{directory}/{FILE_NAME}-{written}")
            with open(names[-1], "wb") as file:
                file.write(block)
                written += 16
    except OSError as error:
        # Of many refusals, that of a file system without writes says the most.
        if refusal is None or error.errno == errno.EROFS:
            refusal = error
    if written >= AMOUNT:
        break
# To be seen: Docker adds up the sizes of all files, which takes long on a busy machine.
time.sleep(9 if written >= AMOUNT else 1.5)
if written < AMOUNT and refusal is not None:
    stopped(refusal)
else:
    finished()
for name in names:
    try:
        os.unlink(name)
    except OSError:
        pass
