// Draws what status.json says, once a second. Whatever comes from there goes in as text, never as markup.
'use strict';

const PERIOD = 1000;
const KEPT = 120;
const SVG = 'http://www.w3.org/2000/svg';
const rows = new Map();
const total = { requests: [], failed: [] };
let former = null;

const place = (id) => document.getElementById(id);
const body = (id) => place(id).querySelector('tbody');
const sum = (numbers) => numbers.reduce((all, number) => all + number, 0);
const short = (number) => (number < 10 ? Math.round(number * 10) / 10 : Math.round(number)).toString();

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function write(where, text) {
  if (where.textContent !== text) where.textContent = text;
}

// The newest value is at the right, and the highest one at the top.
function draw(line, values, width, height, highest) {
  const step = width / (KEPT - 1);
  const left = width - (values.length - 1) * step;
  const point = (value, at) =>
    `${(left + at * step).toFixed(1)},${(height - (highest > 0 ? value / highest : 0) * height).toFixed(1)}`;
  line.setAttribute('points', values.map(point).join(' '));
}

function keep(values, value) {
  values.push(value);
  if (values.length > KEPT) values.shift();
}

function row(app) {
  const line = element('tr');
  line.dataset.app = app;
  const plot = document.createElementNS(SVG, 'svg');
  plot.setAttribute('viewBox', '0 0 120 20');
  plot.setAttribute('preserveAspectRatio', 'none');
  plot.setAttribute('role', 'img');
  const curve = plot.appendChild(document.createElementNS(SVG, 'polyline'));
  const cells = {};
  for (const name of ['app', 'targets', 'rate', 'plot', 'requests', 'failed', 'retries']) {
    const isNumber = !['app', 'targets', 'plot'].includes(name);
    cells[name] = line.appendChild(element('td', undefined, isNumber ? 'number' : name));
  }
  cells.plot.append(plot);
  write(cells.app, app);
  return { line, cells, plot, curve, rates: [], targets: null };
}

function showTargets(known, targets) {
  const text = JSON.stringify(targets);
  if (known.targets === text) return;
  known.targets = text;
  const shown = targets.map((target) => {
    // Targets of a routes file have no other name.
    const name = target.instance === target.address ? '' : ` ${target.instance}`;
    const about = target.state === 'up' ? '' : `, ${target.why}`;
    const chip = element('span', `${target.address}${name} (${target.tier})${about}`, `target ${target.state}`);
    chip.dataset.state = target.state;
    return chip;
  });
  known.cells.targets.replaceChildren(...(shown.length ? shown : [element('span', 'none', 'none')]));
}

function showServices(services, before, seconds) {
  const listed = new Set();
  let at = body('services').firstElementChild;
  let [requests, failed] = [0, 0];
  for (const service of services) {
    const known = rows.get(service.app) ?? row(service.app);
    rows.set(service.app, known);
    listed.add(service.app);
    if (known.line === at) at = at.nextElementSibling;
    else body('services').insertBefore(known.line, at);
    const earlier = before?.get(service.app);
    const grown = (of) => (earlier && of(service) >= of(earlier) ? (of(service) - of(earlier)) / seconds : 0);
    const rate = grown((one) => sum(one.requests));
    requests += rate;
    failed += grown((one) => one.requests[5]);
    keep(known.rates, rate);
    draw(known.curve, known.rates, 120, 20, Math.max(...known.rates));
    known.plot.setAttribute('aria-label', `${short(rate)} requests per second`);
    write(known.cells.rate, short(rate));
    write(known.cells.requests, sum(service.requests).toString());
    write(known.cells.failed, service.requests[5].toString());
    write(known.cells.retries, service.retries.toString());
    showTargets(known, service.targets);
  }
  for (const [app, known] of rows) {
    if (listed.has(app)) continue;
    known.line.remove();
    rows.delete(app);
  }
  return [requests, failed];
}

function showTraffic(requests, failed) {
  keep(total.requests, requests);
  keep(total.failed, failed);
  const highest = Math.max(...total.requests);
  draw(place('traffic').querySelector('.requests'), total.requests, 600, 100, highest);
  draw(place('traffic').querySelector('.failed'), total.failed, 600, 100, highest);
  place('traffic').setAttribute('aria-label', `${short(requests)} requests per second`);
  write(place('rate'), short(requests));
  write(place('failures'), short(failed));
  write(place('highest'), short(highest));
}

function showCertificates(certificates, time) {
  body('certificates').replaceChildren(...certificates.map((certificate) => {
    const days = Math.floor((certificate.not_after - time) / 86400);
    const line = element('tr');
    line.append(
      element('td', certificate.names.join(' ')),
      element('td', days.toString(), days < 14 ? 'number soon' : 'number'),
      element('td', certificate.issuer),
      element('td', certificate.source),
    );
    return line;
  }));
}

function filter() {
  const wanted = place('filter').value.trim().toLowerCase();
  for (const [app, known] of rows) known.line.hidden = !app.toLowerCase().includes(wanted);
}

async function look() {
  const answer = await fetch('status.json', { cache: 'no-store', signal: AbortSignal.timeout(5 * PERIOD) });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const facts = await answer.json();
  const now = performance.now();
  const seconds = former ? (now - former.at) / 1000 : 1;
  const traffic = showServices(facts.services, former?.services, seconds);
  if (former) showTraffic(...traffic);
  former = { at: now, services: new Map(facts.services.map((service) => [service.app, service])) };
  write(place('status'), facts.status);
  showCertificates(facts.certificates, facts.time);
  place('notes').replaceChildren(...facts.notes.map((note) => element('li', note)));
  place('noted').hidden = facts.notes.length === 0;
  filter();
}

async function run() {
  try {
    if (!document.hidden) await look();
    place('away').hidden = true;
  } catch (error) {
    if (place('away').hidden) {
      write(place('away'), `No answer since ${new Date().toLocaleTimeString()}: ${error.message}. What is below is old.`);
      place('away').hidden = false;
    }
  }
  setTimeout(run, PERIOD);
}

place('filter').addEventListener('input', filter);
run();
