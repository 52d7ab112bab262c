// A Runtime API as people write one on Node's http: node server.js PORT LIMIT_MS MANNERS
//
// The manners of server.py: chunked, close, silent, early, polls, prefix. Header names are in lower
// case, as Node's own are.
'use strict';
const http = require('http');

const [port, limit] = process.argv.slice(2, 4).map(Number);
const manners = new Set(process.argv[4].split(','));
const prefix = manners.has('prefix') ? '/.rt/function' : '';
const invocation = `${prefix}/2018-06-01/runtime/invocation/`;

let event = null; // the one that is being worked on
let events = 0;
let waiting = null; // the reply to a /next that waits for an event
let polls = 0;
const count = { lost: 0, twice: 0 };

function reply(res, status, body, headers = {}) {
  const isEvent = 'lambda-runtime-aws-request-id' in headers;
  const { socket } = res;
  if (manners.has('close')) headers.connection = 'close';
  // When that comes the reply does not know its socket any more.
  if (manners.has('silent')) res.on('finish', () => socket.destroySoon());
  if (isEvent && manners.has('chunked')) {
    res.writeHead(status, headers);
    for (let at = 0; at < body.length; at += 65000) res.write(body.subarray(at, at + 65000));
    res.end();
  } else {
    if (status !== 204) headers['content-length'] = body.length;
    res.writeHead(status, headers);
    res.end(body);
  }
}

// Gives the event to the /next that waits, if there are both.
function deliver() {
  if (!waiting || !event || event.isOut) return;
  const res = waiting;
  waiting = null;
  event.isOut = true;
  reply(res, 200, event.body, {
    'lambda-runtime-aws-request-id': event.id,
    'lambda-runtime-deadline-ms': String(event.until),
  });
}

function answer(body) {
  clearTimeout(event.timer);
  reply(event.caller, 200, body);
  event = null;
}

function next(res) {
  // Who asks for an event while another is out believes that it was answered.
  if (event?.isOut && !event.isArriving) {
    count.lost += 1;
    answer(Buffer.from('{"errorType":"Lost"}'));
  }
  // Each event is asked for twice, also where one is there already.
  if (manners.has('polls') && polls++ % 2 === 0) return reply(res, 204, '');
  waiting = res;
  deliver();
}

function invoke(res, body) {
  const until = Date.now() + limit;
  const timer = setTimeout(() => answer(Buffer.from('{"errorType":"Sandbox.Timedout"}')), limit);
  events += 1;
  event = { id: `event-${events}`, body, until, timer, caller: res, isOut: false };
  deliver();
}

const answered = new Set();

function take(id, body) {
  if (answered.has(id)) count.twice += 1;
  if (event?.id !== id) return 400;
  answered.add(id);
  answer(body);
  return 202;
}

http.createServer((req, res) => {
  const isEarly = manners.has('early') && req.headers['transfer-encoding'] === 'chunked';
  const id = req.url.slice(invocation.length).split('/')[0];
  if (event?.id === id) event.isArriving = true;
  req.on('aborted', () => {
    if (event?.id === id) answer(Buffer.from('{"errorType":"Truncated"}'));
  });
  const parts = [];
  req.on('data', (part) => parts.push(part));
  if (isEarly) reply(res, 200, '');
  req.on('end', () => {
    const body = Buffer.concat(parts);
    if (req.url === '/count') reply(res, 200, JSON.stringify(count));
    else if (req.url.startsWith('/2015-03-31/functions/')) invoke(res, body);
    else if (req.url === `${invocation}next`) next(res);
    else if (req.url.startsWith(invocation)) {
      const status = take(id, body);
      if (!isEarly) reply(res, status, '{"status":"OK"}');
    } else reply(res, 404, 'no such path');
  });
}).listen(port, '127.0.0.1');
