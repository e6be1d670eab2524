// Quiz questions: new ones stored, the previous one shown, all of them found again.

import { call, follow, lastPart, minding, newKey, query } from "./service.js";

const PAGE = 10;

export class Questions {
  // The forms that ask for new ones and for stored ones, and where all that comes of it is shown.
  constructor({ collect, collected, previous, search, stored, more, trouble }) {
    Object.assign(this, { collect, collected, previous, search, stored, more, trouble });
    collect.onsubmit = (event) => this.act(event, () => this.store());
    search.onsubmit = (event) => this.act(event, () => this.find());
    more.onclick = (event) => this.act(event, () => this.show());
  }

  async act(event, act) {
    event.preventDefault();
    await minding(this.trouble, act);
  }

  async store() {
    const count = this.collect.elements.count.valueAsNumber;
    const button = this.collect.querySelector("button");
    this.collected.textContent = "The sources are being asked …";
    this.previous.replaceChildren();
    button.disabled = true;
    try {
      const before = await collect(count);
      const saying = before.id ? "The newest until then was:" : "There was none before.";
      this.collected.textContent = `${count} stored. ${saying}`;
      this.previous.replaceChildren(...(before.id ? [entry(before, true)] : []));
    } catch (problem) {
      this.collected.textContent = "None stored.";
      throw problem;
    } finally {
      button.disabled = false;
    }
    await this.find();
  }

  // From the newest on.
  async find() {
    const q = this.search.elements.q.value;
    this.next = query({ limit: PAGE, ...(q && { q }) });
    this.stored.replaceChildren();
    await this.show();
  }

  // The next page, below what is there.
  async show() {
    const { items, next } = await call(`questions?${this.next}`);
    this.stored.append(...items.map((item) => entry(item)));
    this.next = next && new URL(next).search.slice(1);
    this.more.hidden = !next;
  }
}

// The question that was the newest before so many new ones, or {}.
async function collect(count) {
  const headers = { "Idempotency-Key": newKey(), Prefer: "wait=5" };
  const answer = await call("questions", { method: "POST", json: { questions_num: count }, headers });
  return answer.job ? follow(lastPart(answer.job), () => {}) : answer;
}

function entry(question, isOpen = false) {
  const template = document.getElementById("question-template");
  const element = template.content.firstElementChild.cloneNode(true);
  const facts = [question.category, question.source, new Date(question.saved_at).toLocaleString()];
  element.querySelector("details").open = isOpen;
  element.querySelector("[data-question]").textContent = question.question;
  element.querySelector("[data-answer]").textContent = question.answer;
  element.querySelector("[data-facts]").textContent = facts.filter(Boolean).join(" · ");
  return element;
}
