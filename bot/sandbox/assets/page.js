"use strict";
const channel = document.getElementById("channel");
const state = document.getElementById("state");
const post = async (path, fields) => {
  const answer = await fetch(path, { method: "POST", body: new URLSearchParams(fields) });
  state.textContent = answer.ok ? "" : await answer.text();
};
new EventSource("/events").onmessage = (event) => {
  channel.innerHTML = event.data;
  channel.scrollTop = channel.scrollHeight;
};
document.getElementById("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = document.getElementById("text");
  post("/say", { text: text.value });
  text.value = "";
});
document.getElementById("name").addEventListener("change", async (event) => {
  state.textContent = "The bot starts again in this world …";
  await post("/scenario", { name: event.target.value });
});
channel.addEventListener("click", (event) => {
  const button = event.target.closest("button.action");
  if (button) post("/click", { ts: button.dataset.ts, action_id: button.dataset.action });
});
