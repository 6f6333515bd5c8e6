attempt cat "/proc/1/root$HOST_FILE"
