const scratch = ["/tmp", "/dev", "/proc", "/sys"], block = Buffer.alloc(16 << 20, 1), names = [];
let written = 0, refusal;
const fill = (directory) => {
  try {
    while (written < AMOUNT) {
      names.push(`${directory}/${FILE_NAME}-${written}`);
      fs.writeFileSync(names.at(-1), block);
      written += 16;
    }
  } catch (error) {
    // Of many refusals, that of a file system without writes says the most.
    if (!refusal || error.code === "EROFS") refusal = error;
  }
};
const walk = (directory) => {
  if (written >= AMOUNT || scratch.includes(directory)) return;
  fill(directory);
  let entries = [];
  try {
    entries = fs.readdirSync(directory, { withFileTypes: true });
  } catch {
    // not ours to read
  }
  for (const entry of entries.filter((entry) => entry.isDirectory())) {
    walk(`${directory === "/" ? "" : directory}/${entry.name}`);
  }
};
walk("/");
wait(written < AMOUNT ? 1500 : 9000); // to be seen
written < AMOUNT ? stopped(refusal) : finished();
for (const name of names) {
  try {
    fs.rmSync(name, { force: true });
  } catch {
    // it was not written
  }
}
