// A recording's waveform, behind its player: a click goes there.

import { call, query } from "./service.js";

const STORED_SAMPLES = 256; // Of one stored pixel: a drawn one has a multiple.
const MOST_SAMPLES = STORED_SAMPLES << 16;
const RATE_HZ = 48_000; // No MP3 has a higher one, so there are never too few pixels to draw.

// Draws it as wide as the canvas is, and again wherever the player goes.
export async function drawWaveform(canvas, audio, record) {
  const width = Math.round(canvas.clientWidth * devicePixelRatio);
  const height = Math.round(canvas.clientHeight * devicePixelRatio);
  const { data } = await call(`record/peaks?${query({ ...keyOf(record), ...wanted(record, width) })}`);
  Object.assign(canvas, { width, height });
  const draw = () => paint(canvas, data, audio.currentTime / record.duration);
  audio.addEventListener("timeupdate", draw);
  audio.addEventListener("seeked", draw);
  canvas.addEventListener("click", ({ offsetX }) => {
    audio.currentTime = (offsetX / canvas.clientWidth) * record.duration;
    audio.play();
  });
  draw();
}

const keyOf = ({ id, user }) => ({ id, user });

function wanted({ duration }, width) {
  const samples = (duration * RATE_HZ) / width;
  const multiple = Math.max(1, Math.floor(samples / STORED_SAMPLES)) * STORED_SAMPLES;
  return { samples_per_pixel: Math.min(MOST_SAMPLES, multiple) };
}

// `data` has the lowest and the highest sample of each pixel in turn, from -128 to 127.
function paint(canvas, data, played) {
  const context = canvas.getContext("2d");
  const { accent, quiet } = colours(canvas);
  const { width, height } = canvas;
  const step = (2 * width) / data.length;
  const y = (sample) => ((127 - sample) / 255) * height;
  context.clearRect(0, 0, width, height);
  for (let pixel = 0; pixel < data.length / 2; pixel++) {
    const [lowest, highest] = [data[2 * pixel], data[2 * pixel + 1]];
    context.fillStyle = pixel * step < played * width ? accent : quiet;
    context.fillRect(pixel * step, y(highest), step, Math.max(1, y(lowest) - y(highest)));
  }
}

function colours(canvas) {
  const style = getComputedStyle(canvas);
  return { accent: style.getPropertyValue("accent-color"), quiet: style.color };
}
