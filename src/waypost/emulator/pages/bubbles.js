// Draws one message as a bubble. Text only ever goes through textContent: what a business sends is not markup.

export function el(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined && text !== null) node.textContent = text;
  return node;
}

const safe = (url) => (/^https?:\/\//i.test(url || "") ? url : null);
const source = (media) => (media.id ? `/_emulator/media/${encodeURIComponent(media.id)}` : safe(media.link));

function media(kind, content) {
  const src = source(content || {});
  if ((kind === "image" || kind === "sticker") && src) {
    const image = el("img");
    image.src = src;
    image.alt = content.caption || kind;
    image.onerror = () => image.replaceWith(el("div", "file", `🖼 ${kind} (no preview)`));
    return image;
  }
  if ((kind === "video" || kind === "audio") && src) {
    const player = el(kind);
    player.controls = true;
    player.preload = "metadata";
    player.src = src;
    return player;
  }
  const link = el("a", "file", `📄 ${(content || {}).filename || kind}`);
  if (src) {
    link.href = src;
    link.target = "_blank";
    link.rel = "noreferrer";
  }
  return link;
}

function header(part, box) {
  if (!part) return;
  if (part.type === "text" || part.text) box.append(el("div", "title", part.text));
  else if (part[part.type]) box.append(media(part.type, part[part.type]));
}

function place(content, box) {
  box.append(el("div", "map", "📍"));
  if (content.name) box.append(el("div", "title", content.name));
  box.append(el("div", "foot", content.address || `${content.latitude}, ${content.longitude}`));
}

function interactive(content, box) {
  if (content.button_reply || content.list_reply || content.nfm_reply) {
    const reply = content.button_reply || content.list_reply || {};
    box.append(el("div", "words", reply.title || "Answered the form"));
    if (reply.description) box.append(el("div", "foot", reply.description));
    return;
  }
  header(content.header, box);
  if (content.body?.text) box.append(el("div", "words", content.body.text));
  for (const card of content.action?.cards || []) {
    const inner = el("div", "quote");
    inner.style.maxHeight = "none";
    header(card.header, inner);
    inner.append(el("div", "words", card.body?.text || card.action?.product_retailer_id || "Card"));
    box.append(inner);
  }
  if (content.footer?.text) box.append(el("div", "foot", content.footer.text));
}

function fill(message, box) {
  const content = message.content || {};
  switch (message.type) {
    case "text":
    case "button":
      box.append(el("div", "words", message.text));
      break;
    case "image": case "video": case "audio": case "document": case "sticker":
      box.append(media(message.type, content));
      if (content.caption) box.append(el("div", "words", content.caption));
      break;
    case "location":
      place(content, box);
      break;
    case "contacts":
      for (const card of content) box.append(el("div", "file", `👤 ${card.name?.formatted_name || "Contact"}`));
      break;
    case "template":
      header(message.rendered?.header, box);
      box.append(el("div", "words", message.rendered?.body || message.text));
      if (message.rendered?.footer) box.append(el("div", "foot", message.rendered.footer));
      break;
    case "interactive":
      interactive(content, box);
      break;
    default:
      box.append(el("div", "foot", `[${message.type}] ${message.text || ""}`));
  }
}

function meta(message) {
  const line = el("div", "meta");
  line.append(el("span", "", new Date(message.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })));
  if (message.status === "failed") line.append(el("span", "failed", `not delivered · ${message.error_code}`));
  else if (message.direction === "in") {
    const ticks = el("span", `ticks ${message.status}`, "✓✓");
    ticks.title = message.status === "read" ? "read by the business" : "received by the business";
    line.append(ticks);
  } else line.append(el("span", "", { accepted: "on its way", sent: "on its way" }[message.status] || message.status));
  return line;
}

function links(message, box) {
  const buttons = message.rendered?.buttons || [];
  const list = buttons.filter((button) => button.type === "url").map((button) => [button.text, button.url]);
  const action = message.content?.action;
  if (message.type === "interactive" && action?.name === "cta_url")
    list.push([action.parameters?.display_text, action.parameters?.url]);
  for (const [label, url] of list) {
    const link = el("a", "", `↗ ${label}`);
    if (safe(url)) Object.assign(link, { href: url, target: "_blank", rel: "noreferrer" });
    box.append(link);
  }
  for (const button of buttons.filter((b) => !["url", "quick_reply"].includes(b.type)))
    box.append(el("a", "", button.text));
}

// `act` sends what the customer does: {tap, of} or {type, ...}.
export function draw(message, byId, act) {
  const row = el("div", `row ${message.direction === "out" ? "theirs" : "mine"}`);
  const bubble = el("div", "bubble");
  if (message.context_id) bubble.append(el("div", "quote", byId.get(message.context_id)?.text || "An earlier message"));
  fill(message, bubble);
  bubble.append(meta(message));
  row.append(bubble);
  const taps = el("div", "taps");
  links(message, taps);
  const sections = message.content?.action?.sections;
  if (message.direction === "out" && message.options.length) {
    let holder = taps;
    if (sections) {
      holder = el("details");
      holder.append(el("summary", "", `☰ ${message.content.action.button || "Choose"}`));
      taps.append(holder);
    }
    for (const option of message.options) {
      const button = el("button", sections ? "pickrow" : "", sections ? option.title : `↩ ${option.title}`);
      button.onclick = () => act({ tap: option.id, of: message.id });
      holder.append(button);
    }
  }
  if (message.content?.action?.name === "send_location") {
    const button = el("button", "", "📍 Send location");
    button.onclick = () => act({ type: "location", context_id: message.id });
    taps.append(button);
  }
  if (taps.childElementCount) row.append(taps);
  const emojis = Object.values(message.reactions);
  if (emojis.length) {
    row.classList.add("reacted");
    row.append(el("span", "emoji", emojis.join("")));
  }
  if (message.direction === "out") {
    const react = el("button", "react", "👍");
    react.title = "React";
    const emoji = message.reactions.customer ? "" : "👍";
    react.onclick = () => act({ type: "reaction", reaction: { message_id: message.id, emoji } });
    row.append(react);
  }
  return row;
}
