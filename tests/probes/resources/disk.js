const names = [];
attempt(() => {
  for (let written = 0; written < AMOUNT; written += 32) {
    names.push(`/tmp/${FILE_NAME}-${written}`);
    const file = fs.openSync(names.at(-1), "w");
    for (let piece = 0; piece < 32; piece += 1) fs.writeSync(file, Buffer.alloc(1 << 20, 1));
    fs.closeSync(file);
  }
});
wait(1500); // to be seen
for (const name of names) fs.rmSync(name, { force: true });
