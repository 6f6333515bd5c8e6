const server = net.createServer((connection) => connection.end(TOKEN)).listen(PORT, "0.0.0.0");
server.on("error", stopped);
setTimeout(() => {
  finished();
  process.exit();
}, 2000);
