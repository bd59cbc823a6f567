"use strict";
// Front end and network: samples in, pictures and answers out. c/browser.c is the other side.

/** The bytes of a text in base64, which may be broken into lines. */
function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

class Engine {
  /** Compiles a model's WebAssembly. */
  static async open(model) {
    const { instance } = await WebAssembly.instantiate(bytesOf(model.wasm));
    return new Engine(instance.exports, model);
  }

  constructor(c, model) {
    const memory = c.memory.buffer; // it never grows: the C has no malloc
    this.c = c;
    this.model = model;
    this.bands = c.bands();
    this.frames = c.frames_of_second();
    this.chunk = new Float32Array(memory, c.samples(), c.chunk_size());
    this.nepers = new Float32Array(memory, c.nepers(), this.bands * this.frames);
    this.picture = new Int8Array(memory, c.picture(), this.bands * this.frames);
    this.answers = new Int8Array(memory, c.answers(), c.classes());
  }

  /** Begins a sound at this rate in hertz; false when there is no filter for it. */
  start(rate) {
    this.rate = rate;
    this.low = Infinity; // of the second's samples
    this.high = -Infinity;
    this.broken = false; // a sample was no number
    this.milliseconds = { frontEnd: 0, network: 0 };
    return this.c.start(rate) === 0;
  }

  /**
   * Takes samples of any number.
   * onFrame(column, k) is given each column of the picture as its sound is there: bands numbers, in
   * nepers, and its place in the second; onSecond(heard) what each whole second was heard as.
   */
  push(samples, onFrame, onSecond) {
    let used = 0;
    while (used < samples.length) {
      const some = samples.subarray(used, used + this.chunk.length);
      let done = this.c.ready() ? 0 : this.c.frames();
      const before = performance.now();
      this.chunk.set(some);
      const taken = this.c.push(some.length);
      this.milliseconds.frontEnd += performance.now() - before;
      this.look(some.subarray(0, taken));
      for (; done < this.c.frames(); done++) if (onFrame) onFrame(this.column(done), done);
      used += taken;
      if (this.c.ready()) {
        const heard = this.hear();
        if (onSecond) onSecond(heard);
      }
    }
  }

  /** Column k of the picture, in nepers, from the lowest band to the highest. */
  column(k) {
    return Float32Array.from({ length: this.bands }, (_, band) => this.nepers[band * this.frames + k]);
  }

  look(samples) {
    for (const x of samples) {
      if (x < this.low) this.low = x;
      if (x > this.high) this.high = x;
      if (!Number.isFinite(x)) this.broken = true;
    }
  }

  /** The answer to the second that is complete. Silent is what never changes. */
  hear() {
    const before = performance.now();
    const logits = this.logits();
    this.milliseconds.network = performance.now() - before;
    const heard = {
      probabilities: this.broken || this.low === this.high ? null : softmax(logits),
      reason: this.broken ? "not a number" : this.low === this.high ? "silence" : "",
      milliseconds: this.milliseconds,
    };
    this.low = Infinity;
    this.high = -Infinity;
    this.broken = false;
    this.milliseconds = { frontEnd: 0, network: 0 };
    return heard;
  }

  /** Runs the network on the picture that lies in memory. */
  logits() {
    this.c.run();
    const scale = this.c.output_scale(), zero = this.c.output_zero();
    return Array.from(this.answers, (number) => scale * (number - zero));
  }

  /** The nepers that int8 holds, from -128 to 127. */
  range() {
    const scale = this.c.input_scale(), zero = this.c.input_zero();
    return [scale * (-128 - zero), scale * (127 - zero)];
  }
}

function softmax(logits) {
  const most = Math.max(...logits);
  const powers = logits.map((x) => Math.exp(x - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((x) => x / sum);
}
