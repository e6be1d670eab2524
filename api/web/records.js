// A user's recordings: what is being sent, converted, and what is there.

import { Problem, bearing, call, explain, follow, here, lastPart, minding, query } from "./service.js";
import { upload } from "./upload.js";
import { drawWaveform } from "./waveform.js";

const PAGE = 20;

export class Records {
  // Where the cards go, the button for older ones, and where it is told what goes wrong.
  constructor(user, { list, more, trouble }) {
    Object.assign(this, { user, list, more });
    list.replaceChildren();
    more.onclick = () => minding(trouble, () => this.show());
    this.next = query({ user: user.id, limit: PAGE });
  }

  // The next page, below what is there.
  async show() {
    const { items, next } = await call(`records?${this.next}`, { headers: bearing(this.user) });
    this.list.append(...items.map((item) => this.card(item).element));
    this.next = next && new URL(next).search.slice(1);
    this.more.hidden = !next;
  }

  // Sends a file, and shows how it fares above all others.
  async add(file) {
    const card = new Card(this.user, file.name);
    this.list.prepend(card.element);
    await card.minding(async () => {
      const accepted = await upload(file, this.user, (share) => card.sending(share));
      await card.convert(accepted);
    });
  }

  card(item) {
    const card = new Card(this.user, item.filename);
    if (item.state === "done") {
      card.done(item);
    } else if (item.state === "failed") {
      card.own(item);
      card.failed(new Problem(item.error.status, item.error));
    } else {
      card.minding(() => card.convert(item));
    }
    return card;
  }
}

class Card {
  constructor(user, filename) {
    const template = document.getElementById("record-template");
    this.element = template.content.firstElementChild.cloneNode(true);
    this.user = user;
    this.part("filename").textContent = filename;
    this.part("facts").textContent = "waits to be sent";
    this.part("delete").hidden = true;
  }

  part = (name) => this.element.querySelector(`[data-${name}]`);

  // Shows what goes wrong with it.
  async minding(act) {
    try {
      await act();
    } catch (problem) {
      this.failed(problem);
    }
  }

  sending(share) {
    this.part("facts").textContent = `${Math.floor(100 * share)} % sent`;
    this.part("progress").value = share;
  }

  async convert(accepted) {
    this.own(accepted);
    this.part("facts").textContent = "is being converted";
    this.part("progress").removeAttribute("value"); // Nobody knows yet.
    this.done(
      await follow(lastPart(accepted.job), ({ progress }) => {
        if (progress) {
          this.part("progress").value = progress;
        }
      }),
    );
  }

  // It is a recording by now, and can be deleted.
  own({ id, user }) {
    this.part("delete").hidden = false;
    this.part("delete").onclick = () => this.minding(() => this.forget({ id, user }));
  }

  async forget(key) {
    if (confirm("Delete the recording? Its link will lead nowhere.")) {
      const headers = bearing(this.user);
      await call(`record?${query(key)}`, { method: "DELETE", headers });
      this.element.remove();
    }
  }

  done(item) {
    this.own(item);
    const path = `record?${query({ id: item.id, user: item.user })}`;
    this.part("progress").hidden = true;
    this.part("filename").textContent = item.filename;
    this.part("facts").textContent = `${clock(item.duration)} · ${size(item.size)}`;
    this.part("download").href = here(path);
    this.part("audio").src = here(`${path}&inline=1`);
    this.part("copy").onclick = ({ target }) => copy(item.url, target);
    for (const name of ["download", "copy", "sound"]) {
      this.part(name).hidden = false;
    }
    whenSeen(this.part("waveform"), (canvas) =>
      drawWaveform(canvas, this.part("audio"), item).catch(() => (canvas.hidden = true)),
    );
  }

  failed(problem) {
    this.part("progress").hidden = true;
    this.part("facts").textContent = "";
    this.part("trouble").hidden = false;
    explain(problem, this.part("trouble"));
  }
}

function whenSeen(element, act) {
  const observer = new IntersectionObserver(([entry]) => {
    if (entry.isIntersecting) {
      observer.disconnect();
      act(element);
    }
  });
  observer.observe(element);
}

// Only pages from localhost or by https have a clipboard.
async function copy(text, button) {
  const done = await navigator.clipboard?.writeText(text).then(() => true, () => false);
  if (done) {
    button.textContent = "Copied";
  } else {
    prompt("The link:", text);
  }
}

function clock(seconds) {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const rest = (seconds % 60).toFixed(seconds < 60 ? 1 : 0);
  return seconds < 60
    ? `${rest} s`
    : [...(hours ? [hours] : []), minutes, rest].map((n) => String(n).padStart(2, "0")).join(":");
}

function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${(bytes / 1000 ** power).toPrecision(3)} ${units[power]}`;
}
