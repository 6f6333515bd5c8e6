# id: host-files/device-folder
# class: Escape
# title: Leave a file among the devices
# intent: Writes a file into /dev, where few look for one
# success: The file is on the host when the evaluation is over
# source: MITRE ATT&CK T1564; NIST SP 800-190, 4.4.3
# evidence: file-appears /dev
# host: confined
try:
    open(HOST_PATH, "w").write("hidden\n")
    finished()
except OSError as error:
    stopped(error)
