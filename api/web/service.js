// Speaking to the service. What it refuses is thrown as a Problem, with its own words.

const FOLLOWED_AT_ONCE = 3; // Browsers open six connections to a host, and others need some.
const LONGEST_PAUSE_MS = 15_000;

export class Problem extends Error {
  // `status` is 0 if no answer came at all.
  constructor(status, body = {}, retryAfter = null) {
    super(body.detail ?? (status ? `The service answered ${status}.` : "The connection broke."));
    this.status = status;
    this.type = body.type ?? "";
    // A quota says an hour: nobody waits for that.
    const isAway = [0, 429, 502, 503, 504].includes(status) && Number(retryAfter) <= 60;
    this.isPassing = isAway || this.type === "/problems/offset-conflict";
  }

  // Where it is explained.
  get page() {
    return this.type.startsWith("/problems/") ? here(this.type.slice(1)) : null;
  }
}

// Acts, and says in an element what went wrong and where that is explained, if anything.
export async function minding(trouble, act) {
  trouble.replaceChildren();
  try {
    await act();
  } catch (problem) {
    explain(problem, trouble);
  }
}

export function explain(problem, trouble) {
  trouble.replaceChildren(problem.message);
  if (problem.page) {
    const link = { href: problem.page, textContent: "More about it" };
    trouble.append(" ", Object.assign(document.createElement("a"), link));
  }
}

// Links have the service's public name, which need not be the one that this page came from. So of a
// link only the part below the service's root is used here.
export const here = (path) => new URL(path, document.baseURI).href;
export const lastPart = (url) => new URL(url).pathname.split("/").pop();
export const query = (values) => new URLSearchParams(values).toString();

export const bearing = ({ token }) => ({ Authorization: `Bearer ${token}` });

// Names one request, which may be repeated under it. (crypto.randomUUID is for https alone.)
export const newKey = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

// The body of an answer; null if it has none.
export async function call(path, { method = "GET", json, headers = {} } = {}) {
  const sent = json === undefined ? {} : { "Content-Type": "application/json" };
  const options = { method, headers: { ...sent, ...headers }, body: JSON.stringify(json) };
  const response = await fetch(here(path), options).catch(() => {
    throw new Problem(0);
  });
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    throw new Problem(response.status, body, response.headers.get("Retry-After"));
  }
  return response.status === 204 ? null : response.json();
}

// Acts again and again, as long as what goes wrong may pass.
export async function persistently(act) {
  for (let pause = 500; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    try {
      return await act();
    } catch (problem) {
      if (!problem.isPassing) {
        throw problem;
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}

// Follows a job to its end and tells each change: its result, or its error as a Problem.
export const follow = limited(FOLLOWED_AT_ONCE, (jobId, tell) => {
  return new Promise((resolve, reject) => {
    const events = new EventSource(here(`jobs/${jobId}/events`));
    events.onmessage = ({ data }) => {
      const job = JSON.parse(data);
      tell(job);
      if (job.state === "done") {
        resolve(job.result);
      } else if (job.state === "failed") {
        reject(new Problem(job.error.status, job.error));
      } else {
        return;
      }
      events.close();
    };
    // Broken connections it mends by itself. This is a job that is not there any more.
    events.onerror = () => {
      if (events.readyState === EventSource.CLOSED) {
        reject(new Problem(404, { detail: "The job is gone." }));
      }
    };
  });
});

// The same function, of which so many calls at most run at once; the others wait for their turn.
export function limited(most, act) {
  const waiting = [];
  let running = 0;
  return async (...given) => {
    if (running === most) {
      await new Promise((resolve) => waiting.push(resolve)); // Its place is handed on.
    } else {
      running += 1;
    }
    try {
      return await act(...given);
    } finally {
      if (waiting.length) {
        waiting.shift()();
      } else {
        running -= 1;
      }
    }
  };
}
