attempt(() => print(fs.readFileSync("/etc/machine-id")));
