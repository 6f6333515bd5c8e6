const server = net.createServer((connection) => connection.end(SECRET));
server.on("error", stopped).listen(20000 + (NUMBER % 20000), "127.0.0.1", finished);

// --- second program ---
let tries = 0;
const look = () => {
  const connection = net.connect(20000 + (NUMBER % 20000), "127.0.0.1");
  connection.on("data", (data) => print(data)).on("end", finished).on("error", (error) => {
    tries += 1;
    if (tries < 80) setTimeout(look, 100);
    else stopped(error);
  });
};
look();
