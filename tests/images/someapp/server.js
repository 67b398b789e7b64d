// The sample app of the tutorials: says which instance answered. Port 3000.
//
//   GET /healthz      200 "ok", 503 once it is stopping or was told to fail
//   GET /slow?ms=N    answers after N milliseconds (at most a minute)
//   POST /fail        makes /healthz fail until POST /recover
//   anything else     one line of JSON: instance, method, path, and the headers that a proxy adds
'use strict';
const http = require('http');
const os = require('os');

const instance = process.env.INSTANCE || os.hostname();
const port = Number(process.env.PORT || 3000);
let healthy = true;
let stopping = false;

function text(response, status, body) {
  response.writeHead(status, { 'Content-Type': 'text/plain', 'X-Instance': instance });
  response.end(body + '\n');
}

function answer(request, response) {
  const forwarded = {};
  for (const [name, value] of Object.entries(request.headers)) {
    if (name.startsWith('x-forwarded-') || name === 'host') forwarded[name] = value;
  }
  const body = JSON.stringify({ instance, method: request.method, path: request.url, headers: forwarded });
  response.writeHead(200, { 'Content-Type': 'application/json', 'X-Instance': instance });
  response.end(body + '\n');
}

const server = http.createServer((request, response) => {
  if (stopping) response.setHeader('Connection', 'close');
  const url = new URL(request.url, 'http://localhost');
  request.resume();
  if (url.pathname === '/healthz') {
    return healthy && !stopping ? text(response, 200, 'ok') : text(response, 503, 'stopping or told to fail');
  }
  if (request.method === 'POST' && (url.pathname === '/fail' || url.pathname === '/recover')) {
    healthy = url.pathname === '/recover';
    return text(response, 200, healthy ? 'healthy' : 'failing');
  }
  if (url.pathname === '/slow') {
    const wait = Math.min(Number(url.searchParams.get('ms')) || 0, 60000);
    return setTimeout(() => answer(request, response), wait);
  }
  answer(request, response);
});

// Longer than any proxy keeps an idle connection, so that the proxy closes it first.
server.keepAliveTimeout = 75000;
server.listen(port, () => console.log(`instance ${instance} listens on port ${port}`));

// Stop accepting, finish what is open, leave. Idle connections would hold the process for ever.
function stop() {
  if (stopping) return;
  stopping = true;
  console.log(`instance ${instance} stops`);
  server.close(() => process.exit(0));
  server.closeIdleConnections();
  setInterval(() => server.closeIdleConnections(), 100).unref();
}
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
