attempt(() => fs.writeFileSync(HOST_FILE, "mine now\n", { flag: "r+" }));
