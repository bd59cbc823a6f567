"use strict";
// What is seen: the waveform, the picture, the tables.

const SECONDS = 10; // that are shown, and decided over
const FRAMES = 8; // columns of a second
const STRIPS = 10; // of the waveform, in each column
const MAGMA = [ // dark to bright, as the book's pictures
  [0, 0, 4], [28, 16, 68], [79, 18, 123], [129, 37, 129], [181, 54, 122],
  [229, 80, 100], [251, 135, 97], [254, 194, 135], [252, 253, 191],
];

/** Red, green, blue of a number from 0 to 1. */
function magma(x) {
  const place = Math.min(Math.max(x, 0), 1) * (MAGMA.length - 1);
  const k = Math.min(Math.floor(place), MAGMA.length - 2);
  return MAGMA[k].map((low, i) => low + (place - k) * (MAGMA[k + 1][i] - low));
}

/** The picture of the last ten seconds: one column to the left with each that comes. */
class Picture {
  constructor(canvas, bands) {
    canvas.width = SECONDS * FRAMES;
    canvas.height = bands;
    this.pen = canvas.getContext("2d", { willReadFrequently: true });
    this.pen.fillStyle = "rgb(0 0 4)";
    this.pen.fillRect(0, 0, canvas.width, bands);
    this.column = this.pen.createImageData(1, bands);
  }

  add(nepers, [low, high]) {
    const { canvas } = this.pen, pixels = this.column.data;
    nepers.forEach((value, band) => {
      const at = 4 * (nepers.length - 1 - band);
      pixels.set([...magma((value - low) / (high - low)), 255], at);
    });
    this.pen.drawImage(canvas, -1, 0);
    this.pen.putImageData(this.column, canvas.width - 1, 0);
  }
}

/** The waveform of the last ten seconds: the lowest and highest sample of each strip. */
class Wave {
  constructor(canvas) {
    this.canvas = canvas;
    this.strips = new Array(SECONDS * FRAMES * STRIPS).fill([0, 0]);
    this.begin(48000);
  }

  begin(rate) {
    this.length = rate / (FRAMES * STRIPS);
    this.left = this.length;
    this.open = [0, 0];
  }

  add(samples) {
    for (const x of samples) {
      if (x < this.open[0]) this.open[0] = x;
      if (x > this.open[1]) this.open[1] = x;
      if (--this.left <= 0) {
        this.strips.push(this.open);
        this.strips.shift();
        this.open = [0, 0];
        this.left += this.length;
      }
    }
  }

  /** In decibels below full scale, the loudest sample of the last second. */
  level() {
    const last = this.strips.slice(-FRAMES * STRIPS);
    return 20 * Math.log10(Math.max(...last.map(([low, high]) => Math.max(-low, high))));
  }

  /** Drawn so that the loudest of the ten seconds fills the height, but noise below -60 dB not. */
  draw() {
    const { canvas } = this, ratio = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = getComputedStyle(canvas).color;
    const loudest = Math.max(0.001, ...this.strips.map(([low, high]) => Math.max(-low, high)));
    this.strips.forEach(([low, high], i) => {
      const top = (0.5 - high / loudest / 2) * height, bottom = (0.5 - low / loudest / 2) * height;
      const x = (i * width) / this.strips.length;
      pen.fillRect(x, top, Math.max(1, width / this.strips.length), Math.max(1, bottom - top));
    });
  }
}

const percent = (x) => `${Math.round(100 * x)} %`;
const spoken = (scene) => scene.replaceAll("_", " ");

/** Fills the table of probabilities: bars of the ten seconds, a mark for this second. */
function showProbabilities(body, classes, now, mean) {
  const best = mean ? mean.indexOf(Math.max(...mean)) : -1;
  body.replaceChildren(...classes.map((scene, k) => {
    const row = document.createElement("tr");
    if (k === best) row.className = "best";
    const cells = [spoken(scene), null, now ? percent(now[k]) : "–", mean ? percent(mean[k]) : "–"];
    cells.forEach((text, i) => {
      const cell = document.createElement(i ? "td" : "th");
      if (!i) cell.scope = "row";
      if (text === null) {
        cell.className = "bars";
        cell.innerHTML = '<span class="track" aria-hidden="true"><span class="bar"></span><span class="mark"></span></span>';
        cell.querySelector(".bar").style.width = `${100 * (mean ? mean[k] : 0)}%`;
        cell.querySelector(".mark").style.left = `${100 * (now ? now[k] : 0)}%`;
        cell.querySelector(".mark").hidden = !now || now[k] < 0.01;
      } else cell.textContent = text;
      row.append(cell);
    });
    return row;
  }));
}

/** Fills the list of seconds, newest first. */
function showLog(body, classes, seconds) {
  if (!seconds.length) {
    body.innerHTML = '<tr><td colspan="4">No second is complete yet.</td></tr>';
    return;
  }
  body.replaceChildren(...seconds.slice().reverse().map((one) => {
    const row = document.createElement("tr");
    const best = one.probabilities ? one.probabilities.indexOf(Math.max(...one.probabilities)) : -1;
    const heard = best < 0 ? `nothing: ${one.reason}` : spoken(classes[best]);
    const right = best >= 0 && classes[best] === one.scene;
    const was = one.scene ? `${right ? "✓" : "✗"} ${spoken(one.scene)}` : "";
    for (const text of [one.number, heard, best < 0 ? "" : percent(one.probabilities[best]), was]) {
      const cell = document.createElement("td");
      cell.textContent = text;
      row.append(cell);
    }
    return row;
  }));
}

/** Frequencies beside the picture, at the bands that hold them: Slaney's mel, up to 4 kHz. */
function showHertz(place, bands) {
  const mel = (hertz) => (hertz < 1000 ? (3 * hertz) / 200 : 15 + (27 * Math.log(hertz / 1000)) / Math.log(6.4));
  const highest = mel(4000);
  place.replaceChildren(...[250, 500, 1000, 2000, 3000].map((hertz) => {
    const label = document.createElement("span");
    label.textContent = hertz < 1000 ? `${hertz} Hz` : `${hertz / 1000} kHz`;
    const band = (mel(hertz) / highest) * (bands + 1) - 1;
    label.style.bottom = `${(100 * (band + 0.5)) / bands}%`;
    return label;
  }));
}
