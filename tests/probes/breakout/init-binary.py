# id: breakout/init-binary
# class: Escape
# title: Overwrite the program that started the container
# intent: Opens the executables of its first process and of its parent to write; writes nothing
# success: The host's kernel opens one of them
# source: CVE-2019-5736
# evidence: kernel
# host: confined
answers = []
for path in ("/proc/1/exe", f"/proc/{os.getppid()}/exe"):
    try:
        os.close(os.open(path, os.O_WRONLY))
        answers.append("OK")
    except FileNotFoundError:
        answers.append("EACCES")  # this machine has no such thing
    except OSError as error:
        # A mount that is read-only is a refusal as well.
        answers.append("EPERM" if error.errno == errno.EROFS else errno.errorcode[error.errno])
answered(*answers)
