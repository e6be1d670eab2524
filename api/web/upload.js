// Uploads that outlive a bad line, by the protocol tus 1.0: https://tus.io/protocols/resumable-upload

import { Problem, bearing, call, here, lastPart, limited, newKey, persistently } from "./service.js";

const SLICE_BYTES = 32 * 1024 * 1024;

// Sends a file, and tells which share of it has come: the accepted recording. One at a time.
export const upload = limited(1, async (file, user, tell) => {
  const headers = { "Tus-Resumable": "1.0.0", ...bearing(user) };
  const id = await begin(file, user, headers);
  for (let offset = 0; offset < file.size; ) {
    try {
      offset = await send(id, file, offset, headers, tell);
    } catch (problem) {
      if (!problem.isPassing) {
        throw problem;
      }
      offset = await persistently(() => ask(id, headers));
    }
    tell(offset / file.size);
  }
  const now = { headers: { ...bearing(user), Prefer: "respond-async" } };
  return persistently(() => call(`uploads/${id}`, now));
});

async function begin(file, user, headers) {
  const announced = {
    ...headers,
    "Idempotency-Key": newKey(),
    "Upload-Length": file.size,
    "Upload-Metadata": `filename ${base64(file.name)},user ${base64(String(user.id))}`,
  };
  const header = await persistently(() => request("POST", "uploads", announced));
  return lastPart(header("Location"));
}

async function send(id, file, offset, headers, tell) {
  const going = {
    ...headers,
    "Content-Type": "application/offset+octet-stream",
    "Upload-Offset": offset,
  };
  const slice = file.slice(offset, offset + SLICE_BYTES);
  const toldOf = (sent) => tell((offset + sent) / file.size);
  const header = await request("PATCH", `uploads/${id}`, going, slice, toldOf);
  return Number(header("Upload-Offset"));
}

async function ask(id, headers) {
  const header = await request("HEAD", `uploads/${id}`, headers);
  return Number(header("Upload-Offset"));
}

// By XMLHttpRequest, for fetch does not tell how much of a body has gone. Answers are headers.
function request(method, path, headers, body = null, tell = () => {}) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    xhr.open(method, here(path));
    for (const [name, value] of Object.entries(headers)) {
      xhr.setRequestHeader(name, value);
    }
    xhr.responseType = "json";
    xhr.upload.onprogress = ({ loaded }) => tell(loaded);
    xhr.onerror = () => reject(new Problem(0));
    xhr.onload = () => {
      const header = (name) => xhr.getResponseHeader(name);
      if (xhr.status < 400) {
        resolve(header);
      } else {
        reject(new Problem(xhr.status, xhr.response ?? {}, header("Retry-After")));
      }
    };
    xhr.send(body);
  });
}

const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
