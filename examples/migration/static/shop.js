// What moves on the page: the badges that say who answered, what the bridge does, the ticker, the clock, the upload.
const $ = (id) => document.getElementById(id);
const api = new URL("api/", location.origin + location.pathname);

// --- badges: each response says who answered in a header, each message of the ticker and the clock in a field ---

const page = await fetch(location.pathname, { method: "HEAD" });

function badge(name, servedBy) {
  const [framework, side] = servedBy.split(", ");
  $(`${name}-badge`).dataset.framework = framework;
  $(`${name}-badge`).textContent = framework;
  if ($(`${name}-side`)) $(`${name}-side`).textContent = side;  // only once on the page for each of the two
}

const badgeOf = async (name, path) => badge(name, (await fetch(new URL(path, api))).headers.get("x-served-by"));
const badgeOfPicture = () => badgeOf("picture", "products/huila/picture");

$("server").textContent = page.headers.get("server");
badgeOf("api", "openapi.json");
badgeOf("products", "products");
badgeOf("orders", "orders");
badgeOfPicture();

// --- what the bridge does: the browser keeps the Server-Timing header of all that the page loads ----------------

const SHOWN = 12;  // requests; older ones go
const milliseconds = (time) => `${time.toFixed(1)} ms`;
const pathOf = (url) => new URL(url).pathname;

function row(...texts) {
  const line = document.createElement("tr");
  ["request", "by", "how", "app", "all"].forEach((name, at) => {
    const cell = line.insertCell();
    cell.className = name;
    cell.textContent = texts[at];
  });
  badgeIn(line.querySelector(".by"), texts[1]);
  return line;
}

function badgeIn(cell, framework) {
  const element = document.createElement("span");
  element.className = "badge";
  element.dataset.framework = element.textContent = framework;
  cell.replaceChildren(element);
}

function showRequest(entry) {
  const said = Object.fromEntries(entry.serverTiming.map((part) => [part.name, part]));
  if (!said.way || pathOf(entry.name).includes("/static/")) return;
  const framework = said.framework.description, method = said.method.description;
  const all = milliseconds(entry.responseEnd - entry.requestStart);
  $("done").prepend(
    row(`${method} ${pathOf(entry.name)}`, framework, said.way.description, milliseconds(said.app.duration), all),
  );
  while ($("done").rows.length > SHOWN) $("done").lastChild.remove();
}

// A stream is a request that has not ended yet. Its messages say where they come from.
const messages = {};

function showMessage(name, what, { served_by, way }) {
  messages[name] = (messages[name] ?? 0) + 1;
  if (!$(name)) {
    const line = row(what, served_by.split(", ")[0], way, "open", "");
    line.id = name;
    $("open").append(line);
  }
  $(name).lastChild.textContent = `${messages[name]} messages`;
}

new PerformanceObserver((list) => list.getEntries().forEach(showRequest))
  .observe({ type: "navigation", buffered: true });
new PerformanceObserver((list) => list.getEntries().forEach(showRequest))
  .observe({ type: "resource", buffered: true });

// --- the ticker: a WebSocket to the old part -------------------------------------------------------------------

const lines = [...document.querySelectorAll("[data-history]")];
const histories = lines.map((line) => line.dataset.history.split(" ").map(Number));

function draw(line, history) {
  const low = Math.min(...history), span = Math.max(...history) - low || 1;
  line.setAttribute("points", history.map((cents, at) => `${at},${11 - (10 * (cents - low)) / span}`).join(" "));
}

function show(cents) {
  document.querySelectorAll("[data-price]").forEach((output, at) => {
    const now = cents[output.dataset.price], history = histories[at];
    output.textContent = `€${(now / 100).toFixed(2)}`;
    output.dataset.moved = Math.sign(now - history.at(-1));
    history.push(now);
    history.shift();
    draw(lines[at], history);
  });
}

function listen() {
  const socket = new WebSocket($("ticker").dataset.url);
  let opened = false;
  socket.onopen = () => { opened = true; };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    badge("ticker", message.served_by);
    showMessage("ticker-row", "WebSocket /ticker", message);
    show(message.cents);
  };
  socket.onclose = () => {
    if (opened) setTimeout(listen, 2000);
    else if ($("why")) $("why").hidden = false;  // the server knew that it can't be, and wrote why into the page
    else $("ticker").textContent = "the ticker's handshake was refused; the server's log says why";
  };
}

lines.forEach((line, at) => draw(line, histories[at]));
listen();

// --- the clock: server-sent events from the new part -----------------------------------------------------------

new EventSource(new URL("clock", api)).onmessage = ({ data }) => {
  const message = JSON.parse(data);
  badge("clock", message.served_by);
  showMessage("clock-row", "GET /api/clock", message);
  $("clock").textContent = message.now.slice(11, 19);
  $("opened").textContent = message.opened.slice(11, 19);
};

// --- the upload: by XMLHttpRequest, because fetch() does not tell of an upload's progress ----------------------

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`;

function uploaded(request, coffee, path) {
  badge("upload", request.getResponseHeader("x-served-by"));
  const answer = JSON.parse(request.response);
  if (request.status !== 200) {
    $("uploaded").textContent = answer.detail;
    return;
  }
  $("uploaded").textContent = `${megabytes(answer.size)} of ${answer.media_type}, SHA-256 ${answer.sha256.slice(0, 12)}…`;
  document.querySelector(`[data-picture=${coffee}]`).src = `${path}?${answer.sha256}`;
  badgeOfPicture();
}

$("upload").onsubmit = (event) => {
  event.preventDefault();
  const form = new FormData(event.target), coffee = form.get("coffee");
  const path = new URL(`products/${coffee}/picture`, api);
  const request = new XMLHttpRequest();
  request.upload.onprogress = ({ loaded, total }) => {
    $("progress").value = loaded / total;
    $("uploaded").textContent = `${megabytes(loaded)} of ${megabytes(total)}`;
  };
  request.onload = () => uploaded(request, coffee, path);
  request.onerror = () => { $("uploaded").textContent = "the connection broke off"; };
  request.open("PUT", path);
  request.send(form.get("picture"));
};
