// The page: who is here, and what they see.

import { Questions } from "./questions.js";
import { Records } from "./records.js";
import { bearing, call, here, minding, newKey, persistently } from "./service.js";

const byId = (id) => document.getElementById(id);
const [visitor, owner] = [byId("visitor"), byId("owner")];

// A user, as this browser remembers it: id, name and token.
const remembered = {
  get: () => JSON.parse(localStorage.getItem("quaver-user")),
  set: (user) => localStorage.setItem("quaver-user", JSON.stringify(user)),
  forget: () => localStorage.removeItem("quaver-user"),
};

function welcome() {
  visitor.hidden = false;
  owner.hidden = true;
}

async function enter(user) {
  const trouble = byId("records-trouble");
  const places = { list: byId("records"), more: byId("more-records"), trouble };
  const records = new Records(user, places);
  await records.show();
  remembered.set(user);
  visitor.hidden = true;
  owner.hidden = false;
  describe(user);
  owner.querySelector("[data-leave]").onclick = () => {
    remembered.forget();
    welcome();
  };
  owner.querySelector("[data-renew]").onclick = () => minding(trouble, () => renew(user));
  takeFiles((file) => records.add(file));
}

function describe({ id, name, token }) {
  owner.querySelector("[data-name]").textContent = name ?? "You";
  owner.querySelector("[data-id]").textContent = id;
  owner.querySelector("[data-curl]").textContent =
    `curl -F user=${id} -F token=${token} -F file=@speech.wav ${here("record")}`;
}

async function renew(user) {
  const path = `users/${user.id}/token`;
  Object.assign(user, await call(path, { method: "POST", headers: bearing(user) }));
  remembered.set(user);
  describe(user);
}

// Dropped, or chosen.
function takeFiles(take) {
  const drop = byId("drop");
  const input = drop.querySelector("input");
  input.onchange = () => {
    [...input.files].forEach(take);
    input.value = "";
  };
  drop.ondragover = (event) => event.preventDefault();
  drop.ondragenter = () => drop.classList.add("over");
  drop.ondragleave = () => drop.classList.remove("over");
  drop.ondrop = (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    [...event.dataTransfer.files].forEach(take);
  };
}

function onSubmit(form, act) {
  form.onsubmit = async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(form));
    await minding(form.querySelector("[data-trouble]"), () => act(given));
  };
}

onSubmit(byId("sign-up"), async ({ name }) => {
  const headers = { "Idempotency-Key": newKey() };
  const create = () => call("users", { method: "POST", json: { name }, headers });
  await enter({ name, ...(await persistently(create)) });
});
onSubmit(byId("sign-in"), ({ id, token }) => enter({ id: Number(id), token: token.trim() }));

const questions = new Questions({
  collect: byId("collect"),
  collected: byId("collected"),
  previous: byId("previous"),
  search: byId("search"),
  stored: byId("stored"),
  more: byId("more-questions"),
  trouble: byId("questions-trouble"),
});
minding(byId("questions-trouble"), () => questions.find());

welcome();
const user = remembered.get();
if (user) {
  await minding(visitor.querySelector("[data-trouble]"), () => enter(user));
}
