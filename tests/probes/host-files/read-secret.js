attempt(() => print(fs.readFileSync(HOST_FILE)));
