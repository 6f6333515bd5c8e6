attempt(() => print(fs.readFileSync("/proc/1/root" + HOST_FILE)));
