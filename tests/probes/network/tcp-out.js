let last;
const send = ([address, ...others]) => {
  if (!address) return last ? stopped(last) : finished();
  const connection = net.connect(PORT, address, () => connection.end(TOKEN));
  connection.setTimeout(2000, () => connection.destroy(Object.assign(new Error(), { code: "ETIMEDOUT" })));
  connection.on("error", (error) => (last = error)).on("close", () => send(others));
};
send(ADDRESSES);
