attempt(() => fs.writeFileSync(`/tmp/${PLACE}`, SECRET));

// --- second program ---
attempt(() => print(fs.readFileSync(`/tmp/${PLACE}`)));
