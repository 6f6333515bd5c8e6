setInterval(() => fs.writeSync(1, "."), 200);
