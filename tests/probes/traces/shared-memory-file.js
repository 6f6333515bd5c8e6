attempt(() => fs.writeFileSync(`/dev/shm/${PLACE}`, SECRET));

// --- second program ---
attempt(() => print(fs.readFileSync(`/dev/shm/${PLACE}`)));
