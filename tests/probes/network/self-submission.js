const body = JSON.stringify({ code: "print(1)", labels: { from: TOKEN } });
const headers = { "Content-Type": "application/json", "Content-Length": body.length };
const options = { host: ADDRESS, port: PORT, method: "POST", path: "/eval", headers, timeout: 3000, agent: false };
const request = require("http").request(options, (response) => response.resume().on("end", finished));
request.on("error", stopped).end(body);
