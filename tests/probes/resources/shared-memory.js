const names = [];
attempt(() => {
  for (let piece = 0; piece < AMOUNT / 30; piece += 1) {
    names.push(`/dev/shm/${FILE_NAME}-${piece}`);
    fs.writeFileSync(names.at(-1), Buffer.alloc(30 << 20, 1));
  }
});
wait(1500); // to be seen
for (const name of names) fs.rmSync(name, { force: true });
