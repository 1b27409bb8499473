// The phone page: lists phones, shows one chat, sends what the customer does. Live over server-sent events.
import { draw, el } from "./bubbles.js";

const $ = (id) => document.getElementById(id);
const api = "/_emulator/phones";
let current = new URLSearchParams(location.search).get("phone");
let shown = "";
let follow = true; // keep the newest message in sight until the reader scrolls up
let busy = false;
let again = false;

async function call(path, body) {
  const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const answer = await fetch(path, options);
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error || answer.statusText);
  return found;
}

function complain(fault) {
  $("fault").textContent = fault.message;
  $("fault").hidden = false;
  setTimeout(() => ($("fault").hidden = true), 4000);
}

const path = (tail) => `${api}/${encodeURIComponent(current)}/${tail}`;
const initials = (name) => name.split(/\s+/).map((word) => word[0]).join("").slice(0, 2).toUpperCase();
const label = (phone) => (phone.digits ? `+${phone.digits}` : phone.user_id);

function list(phones) {
  const number = $("number").value;
  $("phones").replaceChildren(
    ...phones.map((phone) => {
      const button = el("button");
      button.setAttribute("aria-current", String(phone.key === current));
      const line = el("div", "line");
      const last = phone.chats[number]?.last;
      line.append(el("b", "", phone.name), el("span", "", last ? last.text || `[${last.type}]` : label(phone)));
      const at = last ? new Date(last.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) : "";
      button.append(el("span", "avatar", initials(phone.name)), line, el("small", "", at));
      button.onclick = () => { current = phone.key; shown = ""; follow = true; refresh(); };
      return button;
    }),
  );
}

function toEnd() {
  if (follow) $("messages").scrollTop = $("messages").scrollHeight;
}

function chat(found) {
  $("business").textContent = `${found.number.verified_name} · ${found.number.display}`;
  $("avatar").textContent = initials(found.number.verified_name);
  $("state").textContent = found.typing ? "typing…" : `as seen by ${found.phone.name} (${label(found.phone)})`;
  $("state").className = found.typing ? "typing" : "";
  $("online").checked = found.phone.behaviour.online;
  $("autoread").checked = found.phone.behaviour.auto_read_seconds !== null;
  const visible = found.messages.filter((m) => m.direction === "in" || !["accepted", "sent"].includes(m.status));
  const state = JSON.stringify([current, visible]);
  if (state === shown) return;
  shown = state;
  const box = $("messages");
  const byId = new Map(found.messages.map((message) => [message.id, message]));
  const rows = [];
  let day = "";
  for (const message of visible) {
    const its = new Date(message.at).toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });
    if (its !== day) rows.push(el("div", "day", (day = its)));
    rows.push(draw(message, byId, act));
  }
  if (!rows.length)
    rows.push(el("p", "empty", "Nothing here yet. Send a message to this number through the API, or write first."));
  box.replaceChildren(...rows);
  toEnd();
  for (const image of box.querySelectorAll("img")) image.addEventListener("load", toEnd);
}

async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    const { data } = await call(api);
    if (!current && data.length) current = data[0].key;
    list(data);
    if (current) chat(await call(path(`chat?phone_number_id=${encodeURIComponent($("number").value)}`)));
  } catch (fault) {
    complain(fault);
  } finally {
    busy = false;
    if (again) { again = false; refresh(); }
  }
}

async function act(body) {
  follow = true;
  try {
    await call(path("messages"), { ...body, phone_number_id: $("number").value });
    await call(path("read"), { phone_number_id: $("number").value });
  } catch (fault) {
    complain(fault);
  }
}

async function sendFile(kind, file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let start = 0; start < bytes.length; start += 32768)
    text += String.fromCharCode(...bytes.subarray(start, start + 32768));
  const content = { mime_type: file.type || "application/octet-stream", content_base64: btoa(text) };
  if (kind === "document") content.filename = file.name;
  await act({ type: kind, [kind]: content });
}

$("compose").onsubmit = (event) => {
  event.preventDefault();
  const words = $("words").value.trim();
  if (words) act({ text: words });
  $("words").value = "";
};
for (const button of document.querySelectorAll("[data-send]"))
  button.onclick = () => {
    const kind = button.dataset.send;
    button.closest("details").open = false;
    if (kind !== "image" && kind !== "document") { act({ type: kind }); return; }
    const file = $("file");
    file.accept = kind === "image" ? "image/*" : "";
    file.onchange = () => { if (file.files[0]) sendFile(kind, file.files[0]); file.value = ""; };
    file.click();
  };
$("add").onsubmit = async (event) => {
  event.preventDefault();
  const digits = event.target.digits.value;
  try {
    current = (await call(api, { digits })).key;
    event.target.reset();
    refresh();
  } catch (fault) { complain(fault); }
};
$("number").onchange = refresh;
$("messages").onwheel = $("messages").ontouchmove = () => {
  const box = $("messages");
  setTimeout(() => (follow = box.scrollHeight - box.scrollTop - box.clientHeight < 80), 100);
};
$("online").onchange = (event) => call(path("behaviour"), { online: event.target.checked }).catch(complain);
$("autoread").onchange = (event) =>
  call(path("behaviour"), { auto_read_seconds: event.target.checked ? 1 : null }).catch(complain);

const dark = localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
document.documentElement.dataset.theme = new URLSearchParams(location.search).get("theme") || dark;
$("theme").onclick = () => {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  localStorage.setItem("theme", next);
};

refresh();
new EventSource("/_emulator/live").onmessage = refresh;
