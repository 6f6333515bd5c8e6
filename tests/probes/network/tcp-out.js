let waiting = ADDRESSES.length, last;
for (const address of ADDRESSES) {
  const connection = net.connect(PORT, address, () => connection.end(TOKEN));
  connection.setTimeout(2000, () => connection.destroy(Object.assign(new Error(), { code: "ETIMEDOUT" })));
  connection.on("error", (error) => (last = error)).on("close", () => {
    waiting -= 1;
    if (!waiting) last ? stopped(last) : finished();
  });
}
