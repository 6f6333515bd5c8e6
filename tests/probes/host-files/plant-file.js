attempt(() => fs.writeFileSync(HOST_PATH, "I was here\n"));
