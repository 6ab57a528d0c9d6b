// Live updates, dialogs, shortcuts and copy buttons. Every page works without this script, except
// for live updates and copying.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// --- Live updates: an element with data-live polls its URL every second. ------------------------
// The answer is a fragment (200) or nothing (204). The X-Last-Id header becomes the next ?after=.

const live = {
  paused: sessionStorage.getItem("paused") === "yes",
  busy: false,
  async poll(box) {
    const url = new URL(box.dataset.live, location.href);
    if (box.dataset.after) url.searchParams.set("after", box.dataset.after);
    const answer = await fetch(url, { headers: { "X-Fragment": "1" }, cache: "no-store" });
    if (answer.status === 401) location.reload();
    if (answer.status !== 200) return;
    const last = answer.headers.get("X-Last-Id");
    const fragment = document.createElement("template");
    fragment.innerHTML = await answer.text();
    if (box.dataset.after === undefined) {
      const text = fragment.innerHTML.trim();
      const isUsed = box.contains(document.activeElement);
      if (text !== box.innerHTML.trim() && !isUsed) box.replaceChildren(fragment.content);
      return;
    }
    if (last) box.dataset.after = last;
    const rows = [...fragment.content.children];
    const height = document.documentElement.scrollHeight;
    rows.forEach((row) => row.classList.add("new"));
    box.prepend(...rows);
    while (box.children.length > Number(box.dataset.keep || 200)) box.lastElementChild.remove();
    if (scrollY > 80) scrollBy(0, document.documentElement.scrollHeight - height);
    $$("[data-empty]").forEach((note) => note.remove());
  },
  async tick() {
    if (!live.paused && !live.busy && document.visibilityState === "visible") {
      live.busy = true;
      const polls = $$("[data-live]").map((box) => live.poll(box));
      const results = await Promise.allSettled(polls);
      live.show(results.some((result) => result.status === "rejected"));
      live.busy = false;
    }
  },
  show(failed = false) {
    const button = $("#live");
    if (!button) return;
    button.classList.toggle("paused", live.paused || failed);
    button.setAttribute("aria-pressed", String(live.paused));
    $("span:last-child", button).textContent = live.paused ? "Paused" : failed ? "No answer" : "Live";
  },
  toggle() {
    live.paused = !live.paused;
    sessionStorage.setItem("paused", live.paused ? "yes" : "no");
    live.show();
  },
};

// --- Dialogs: the focus is on Cancel. A link with data-ask leads to a question, shown in one. ---

function openDialog(dialog) {
  dialog.showModal();
  $("[data-close]", dialog)?.focus();
}

// Show the question that the server answers with; return whether there is one.
async function ask(url, options = {}) {
  const dialog = $("#question");
  dialog.replaceChildren();
  const answer = await fetch(url, { ...options, headers: { "X-Fragment": "1" }, cache: "no-store" });
  if (answer.status !== 200) return false;
  dialog.innerHTML = await answer.text();
  openDialog(dialog);
  return true;
}

// --- Keyboard: j and k move in the list, Enter opens, Esc goes back, / filters, p pauses. -------

function move(step) {
  const rows = $$("[data-rows] tr[data-href]");
  if (!rows.length) return;
  const now = rows.findIndex((row) => row.getAttribute("aria-selected") === "true");
  const next = rows[Math.min(Math.max(now + step, 0), rows.length - 1)];
  rows.forEach((row) => row.setAttribute("aria-selected", String(row === next)));
  $("a, button", next)?.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

const keys = {
  "/": () => $("[data-filter]")?.focus(),
  j: () => move(1),
  k: () => move(-1),
  p: () => live.toggle(),
  "?": () => openDialog($("#shortcuts")),
  Escape: () => $("[data-back]") && location.assign($("[data-back]").href),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]")) return;
  if (event.target.matches("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const action = keys[event.key];
  if (action) {
    event.preventDefault();
    action();
  }
});

// --- Clicks ------------------------------------------------------------------------------------

async function copy(button) {
  await navigator.clipboard.writeText($(button.dataset.copy).textContent);
  const label = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = label; }, 1500);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-ask], [data-close], [data-copy], #live");
  if (!button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const dialog = button.closest("dialog");
  if (button.id === "live") live.toggle();
  else if (button.dataset.copy) copy(button);
  else if ("ask" in button.dataset) {
    event.preventDefault();
    ask(button.href).catch(() => false).then((asked) => asked || location.assign(button.href));
  } else if (dialog) {
    event.preventDefault();
    dialog.close();
  }
});

// A form with data-asks gets its question, if there is one, before it is sent.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!("asks" in form.dataset) || event.submitter?.name === "confirmed") return;
  event.preventDefault();
  const body = new URLSearchParams(new FormData(form));
  if (!await ask(form.action, { method: "POST", body })) form.submit();
});

$$("[data-scripted]").forEach((element) => element.classList.remove("hidden"));
live.show();
setInterval(live.tick, 1000);
document.addEventListener("visibilitychange", live.tick);
