"use strict";
const at = (id) => document.getElementById(id);
const seat = { user: document.body.dataset.user, place: document.body.dataset.place };
const [channel, modal, state] = [at("channel"), at("modal"), at("state")];
const post = async (path, fields, told = state) => {
  const body = new URLSearchParams(fields);
  for (const [name, value] of Object.entries(seat)) body.set(name, value);
  const answer = await fetch(path, { method: "POST", body });
  told.textContent = answer.ok ? "" : await answer.text();
  return answer.ok ? answer.json() : null;
};
const events = new EventSource(`/events?${new URLSearchParams(seat)}`);
events.addEventListener("place", (event) => {
  const atEnd = channel.scrollHeight - channel.scrollTop - channel.clientHeight < 80;
  channel.innerHTML = event.data;
  if (atEnd && seat.place !== "home") channel.scrollTop = channel.scrollHeight;
});
events.addEventListener("places", (event) => { at("places").innerHTML = event.data; });
events.addEventListener("modal", (event) => {
  modal.innerHTML = event.data;
  const form = modal.querySelector("form");
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
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-where]");
  if (!button) return;
  const { where, action, value, shortcut, reaction } = button.dataset;
  button.closest("details.menu")?.removeAttribute("open");
  if (shortcut) post("/menu", { where, callback_id: shortcut });
  else if (reaction) post("/menu", { where, reaction });
  else post("/use", { where, action_id: action, kind: "button", ...(value ? { value } : {}) });
});
document.addEventListener("change", (event) => {
  const menu = event.target.closest("select.action");
  if (menu?.value) post("/use", { where: menu.dataset.where, action_id: menu.dataset.action, value: menu.value });
});
at("say")?.addEventListener("submit", (event) => {
  event.preventDefault();
  post("/say", { text: at("text").value });
  at("text").value = "";
});
at("user").addEventListener("change", (event) => {
  location.search = new URLSearchParams({ ...seat, user: event.target.value });
});
at("name").addEventListener("change", async (event) => {
  state.textContent = "The bot starts again in this world …";
  await post("/scenario", { name: event.target.value });
});
channel.scrollTop = channel.scrollHeight;
