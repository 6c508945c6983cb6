"use strict";
const at = (id) => document.getElementById(id);
const seat = { user: document.body.dataset.user, place: document.body.dataset.place };
const [channel, modal, state, confirming] = [at("channel"), at("modal"), at("state"), at("confirm")];
const post = async (path, fields, told = state) => {
  const body = new URLSearchParams(fields);
  for (const [name, value] of Object.entries(seat)) body.set(name, value);
  let said = "The sandbox does not answer. Is it still running?";
  try {
    const answer = await fetch(path, { method: "POST", body });
    if (answer.ok) {
      told.textContent = "";
      return await answer.json();
    }
    said = await answer.text();
  } catch { /* said above */ }
  told.textContent = said;
  return null;
};

// times in the reader's own zone, in the forms that Slack knows
const formats = {
  date: { dateStyle: "long" }, date_long: { dateStyle: "full" }, date_short: { dateStyle: "medium" },
  date_num: { dateStyle: "short" }, time: { timeStyle: "short" }, time_secs: { timeStyle: "medium" },
};
const ago = (seconds) => {
  const now = Number(at("watch").querySelector(".clock time")?.dataset.at ?? Date.now() / 1000);
  const [unit, size] = [["day", 86400], ["hour", 3600], ["minute", 60]].find(([, s]) => Math.abs(now - seconds) >= s) ?? ["second", 1];
  return new Intl.RelativeTimeFormat(undefined, { numeric: "auto" }).format(Math.round((seconds - now) / size), unit);
};
const written = (form, seconds) => form.replace(/\{(\w+?)(_pretty)?\}/g, (all, name) => {
  if (name === "ago") return ago(seconds);
  return formats[name] ? new Intl.DateTimeFormat(undefined, formats[name]).format(new Date(1000 * seconds)) : all;
});
const localise = (part) => {
  for (const time of part.querySelectorAll("time[data-at]")) time.textContent = written(time.dataset.form, time.dataset.at);
};
const fill = (part, html) => { part.innerHTML = html; localise(part); };
localise(document.body);

const events = new EventSource(`/events?${new URLSearchParams(seat)}`);
// what is pressed stays until it is released: the browser tells nobody of a click whose button was replaced in between
let pressed = false;
const later = new Map();
const release = () => setTimeout(() => {
  pressed = false;
  for (const act of later.values()) act();
  later.clear();
});
addEventListener("pointerdown", (event) => { pressed = event.target.closest("button, a") !== null; });
for (const name of ["pointerup", "pointercancel", "blur"]) addEventListener(name, release);
const follow = (name, act) => events.addEventListener(name, (event) => {
  if (pressed) later.set(name, () => act(event.data));
  else act(event.data);
});
follow("place", (html) => {
  const atEnd = channel.scrollHeight - channel.scrollTop - channel.clientHeight < 80;
  fill(channel, html);
  if (atEnd && seat.place !== "home") channel.scrollTop = channel.scrollHeight;
});
for (const name of ["places", "controls"]) follow(name, (html) => fill(at(name), html));
follow("watch", (html) => {
  const open = at("watch").querySelector("details")?.open;
  fill(at("watch"), html);
  if (open) at("watch").querySelector("details").open = true;
});
// what somebody has typed or chosen stays when the bot updates the view, as it does in Slack
const changedIn = (field) => [...field.querySelectorAll("input, select, textarea")].some((one) =>
  one.options ? [...one.options].some((o) => o.selected !== o.defaultSelected)
    : one.type === "checkbox" || one.type === "radio" ? one.checked !== one.defaultChecked : one.value !== one.defaultValue);
const typedIn = (form) => [...(form?.querySelectorAll("[data-block]") ?? [])].filter(changedIn)
  .map((field) => [field.dataset.block, new FormData(form).getAll(field.dataset.field)]);
const typeAgain = (form, typed) => {
  for (const [block, values] of typed) {
    const field = form.querySelector(`[data-block="${CSS.escape(block)}"]`);
    for (const one of field?.querySelectorAll("input, select, textarea") ?? []) {
      if (one.options) for (const option of one.options) option.selected = values.includes(option.value);
      else if (one.type === "checkbox" || one.type === "radio") one.checked = values.includes(one.value);
      else one.value = values[0] ?? "";
    }
  }
};
follow("modal", (html) => {
  const before = modal.querySelector("form");
  const [view, typed] = [before?.dataset.view, typedIn(before)];
  fill(modal, html);
  const form = modal.querySelector("form");
  if (form && form.dataset.view === view) typeAgain(form, typed);
  if (!form) return modal.close();
  if (!modal.open) modal.showModal();
  form.querySelector("input, select, textarea, button")?.focus();
});

const showErrors = (errors) => {
  for (const field of modal.querySelectorAll("[data-field]")) {
    const problem = errors[field.dataset.field] ?? "";
    at(`${field.dataset.field}-error`).textContent = problem;
    for (const input of field.querySelectorAll("input, select, textarea")) input.ariaInvalid = problem ? "true" : "false";
  }
  modal.querySelector('[aria-invalid="true"]')?.focus();
};
modal.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = new FormData(event.target);
  fields.set("where", event.target.dataset.view);
  const answer = await post("/submit", fields, at("modal-problem"));
  if (answer && modal.open) showErrors(answer.errors);
});
const closeModal = () => post("/close", { where: modal.querySelector("form")?.dataset.view ?? "" });
modal.addEventListener("cancel", (event) => { event.preventDefault(); closeModal(); });
modal.addEventListener("click", (event) => { if (event.target.id === "modal-close") closeModal(); });

const sure = async (asked) => {
  const { title, text, yes, no } = JSON.parse(asked);
  for (const [part, said] of Object.entries({ title, text, yes, no })) at(`confirm-${part}`).textContent = said;
  confirming.returnValue = "no";
  confirming.showModal();
  await new Promise((closed) => confirming.addEventListener("close", closed, { once: true }));
  return confirming.returnValue === "yes";
};
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { where, action, value, shortcut, reaction, confirm, minutes, tab, drill } = button.dataset;
  if (tab) return show(tab);
  if (minutes) return post("/move", { minutes });
  if (drill) return post("/drill", { do: drill });
  if (button.id === "release") return post("/release", {});
  if (!where) return;
  button.closest("details.menu")?.removeAttribute("open");
  if (confirm && !(await sure(confirm))) return;
  if (shortcut) post("/menu", { where, callback_id: shortcut });
  else if (reaction) post("/menu", { where, reaction });
  else post("/use", { where, action_id: action, kind: "button", ...(value ? { value } : {}) });
});
document.addEventListener("change", (event) => {
  const { target } = event;
  if (target.matches("select.action") && target.value) {
    post("/use", { where: target.dataset.where, action_id: target.dataset.action, value: target.value });
  } else if (target.id === "user") {
    location.search = new URLSearchParams({ ...seat, user: target.value });
  } else if (target.id === "name") {
    post("/story", { name: target.value });
  } else if (target.closest("#change")) {
    post("/change", new FormData(at("change")));
  }
});
at("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.target.id === "story") post("/story", { name: at("name").value });
});
at("say")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = at("text").value;
  at("text").value = "";
  if ((await post("/say", { text })) === null) at("text").value ||= text;
});

// one part at a time, where there is no room for three
const show = (tab) => {
  document.body.dataset.tab = tab;
  for (const button of document.querySelectorAll("#tabs button")) button.ariaPressed = String(button.dataset.tab === tab);
};
show("main");
channel.scrollTop = channel.scrollHeight;
