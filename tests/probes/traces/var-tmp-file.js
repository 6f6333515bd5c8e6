attempt(() => fs.writeFileSync(`/var/tmp/${PLACE}`, SECRET));

// --- second program ---
attempt(() => print(fs.readFileSync(`/var/tmp/${PLACE}`)));
