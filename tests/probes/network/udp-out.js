const socket = require("dgram").createSocket("udp4");
let waiting = ADDRESSES.length, last;
for (const address of ADDRESSES) {
  socket.send(TOKEN, PORT, address, (error) => {
    last = error ?? last;
    waiting -= 1;
    if (!waiting) {
      last ? stopped(last) : finished();
      socket.close();
    }
  });
}
