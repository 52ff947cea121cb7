// What moves on the page: the badges that say who answered, the ticker, the clock, the upload.
const $ = (id) => document.getElementById(id);
const api = new URL("api/", location.origin + location.pathname);

// --- badges: each response says who answered in a header, each message of the ticker and the clock in a field ---

const page = await fetch(location.pathname, { method: "HEAD" });
const server = page.headers.get("server");

function badge(name, servedBy) {
  const [framework, side] = servedBy.split(", ");
  const element = $(`${name}-badge`);
  element.dataset.framework = framework;
  element.innerHTML = "<b></b>";
  element.firstChild.textContent = framework;
  element.append(` · ${side} on ${server}`);
}

const badgeOf = async (name, path) => badge(name, (await fetch(new URL(path, api))).headers.get("x-served-by"));
const badgeOfPicture = () => badgeOf("picture", "products/huila/picture");

$("server").textContent = server;
badge("page", page.headers.get("x-served-by"));
badge("cart", page.headers.get("x-served-by"));
badgeOf("api", "openapi.json");
badgeOf("products", "products");
badgeOf("orders", "orders");
badgeOfPicture();

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
    const { served_by, cents } = JSON.parse(data);
    badge("ticker", served_by);
    show(cents);
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
  const { served_by, now, opened } = JSON.parse(data);
  badge("clock", served_by);
  $("clock").textContent = now.slice(11, 19);
  $("opened").textContent = opened.slice(11, 19);
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
