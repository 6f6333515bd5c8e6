for (const name of fs.readdirSync("/proc").filter((name) => /^[0-9]/.test(name))) {
  try {
    const variables = fs.readFileSync(`/proc/${name}/environ`, "latin1").split("\0");
    print(variables.filter((variable) => variable.startsWith("LADDER_DECOY=")).join());
  } catch {
    // it has ended meanwhile, or is not ours to read
  }
}
finished();
