"use strict";
// Where sound comes from. Each source calls take(samples) as it comes, and is ended by stop().

const RATES = [48000, 44100]; // hertz that the front end has filters for

// From a file, a page may load an AudioWorklet from a data: address and from nowhere else.
const WORKLET = `
registerProcessor("tap", class extends AudioWorkletProcessor {
  constructor() {
    super();
    this.held = new Float32Array(2048);
    this.n = 0;
  }
  process([input]) {
    if (!input.length) return true;
    for (let i = 0; i < input[0].length; i++) {
      let sum = 0;
      for (const channel of input) sum += channel[i];
      this.held[this.n++] = sum / input.length;
      if (this.n === this.held.length) {
        this.port.postMessage(this.held);
        this.n = 0;
      }
    }
    return true;
  }
});
`;

/** A sentence for a reader, where the cause is known. */
class Trouble extends Error {}

/** A context at 48 kHz, or at the rate that the device has. */
function audioContext() {
  const Context = window.AudioContext || window.webkitAudioContext;
  if (!Context) throw new Trouble("This browser has no Web Audio: try another one.");
  try {
    return new Context({ sampleRate: RATES[0] });
  } catch {
    return new Context();
  }
}

/** Hears the microphone until it is stopped. Resolves to {rate, stop} once it runs. */
async function openMicrophone(begin, take) {
  const on = "Choose a file, or play a clip of the corpus: both work without a microphone.";
  if (!navigator.mediaDevices || !navigator.mediaDevices.getUserMedia)
    throw new Trouble(`This browser gives a page opened in this way no microphone. ${on}`);
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
  } catch (error) {
    const why = {
      NotAllowedError: "The microphone was refused. To allow it after all, use the sign beside the address, and press the button again.",
      NotFoundError: "No microphone was found.",
      NotReadableError: "Another program holds the microphone.",
    }[error.name];
    throw new Trouble(`${why || `The microphone could not be opened (${error.name}).`} ${on}`);
  }
  const end = () => stream.getTracks().forEach((track) => track.stop());
  let context = audioContext(), source;
  try {
    try {
      source = context.createMediaStreamSource(stream);
    } catch { // some browsers connect a microphone at its own rate only
      await context.close();
      context = new AudioContext();
      source = context.createMediaStreamSource(stream);
    }
    if (!RATES.includes(context.sampleRate))
      throw new Trouble(`This microphone runs at ${context.sampleRate} hertz; the front end knows ${RATES.join(" and ")}. ${on}`);
    begin(context.sampleRate);
    const node = await tap(context, take);
    source.connect(node).connect(context.destination); // the tap itself is silent
    await Promise.race([context.resume(), patience(`The sound of this browser does not start, as where no loudspeaker is connected. ${on}`)]);
  } catch (error) {
    end();
    context.close();
    throw error;
  }
  return { stop: () => { end(); context.close(); } };
}

/** Fails after some seconds, in those words: a context without a device waits for ever. */
function patience(words, seconds = 8) {
  return new Promise((_, fail) => setTimeout(() => fail(new Trouble(words)), 1000 * seconds));
}

/** A node that hands on what it hears: an AudioWorklet, or what browsers had before. */
async function tap(context, take) {
  try {
    await context.audioWorklet.addModule("data:text/javascript;base64," + btoa(WORKLET));
    const node = new AudioWorkletNode(context, "tap");
    node.port.onmessage = (message) => take(message.data);
    return node;
  } catch {
    const node = context.createScriptProcessor(2048, 1, 1);
    node.onaudioprocess = (event) => take(event.inputBuffer.getChannelData(0).slice());
    return node;
  }
}

/** The sound of a file: {samples, rate}, its channels averaged. Wav at 44.1 kHz stays as it is. */
async function decode(bytes) {
  const view = new DataView(bytes);
  const isWav = bytes.byteLength > 28 && view.getUint32(0) === 0x52494646; // "RIFF"
  const rate = isWav && RATES.includes(view.getUint32(24, true)) ? view.getUint32(24, true) : RATES[0];
  let buffer;
  try {
    buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
  } catch {
    throw new Trouble("This file holds no sound that the browser can read. Wav, MP3, FLAC and Ogg are safe choices.");
  }
  const samples = new Float32Array(buffer.length);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const one = buffer.getChannelData(channel);
    for (let i = 0; i < samples.length; i++) samples[i] += one[i] / buffer.numberOfChannels;
  }
  if (samples.length < rate)
    throw new Trouble("This is shorter than a second: a scene needs as much.");
  return { samples, rate };
}

/**
 * Hears samples, aloud at their own pace or else as fast as they go. Returns {stop, ended}, the
 * latter a promise of whether the end was reached.
 */
function playSamples({ samples, rate }, aloud, take) {
  let used = 0, timer = 0, context = null, start = 0, finish;
  const begun = performance.now();
  const ended = new Promise((resolve) => { finish = resolve; });
  const stop = (whole = false) => {
    clearInterval(timer);
    if (context) context.close();
    context = null;
    finish(whole);
  };
  const upTo = (n) => {
    take(samples.subarray(used, n));
    used = n;
    if (used === samples.length) stop(true);
  };
  if (aloud) {
    context = audioContext();
    const buffer = context.createBuffer(1, samples.length, rate);
    buffer.copyToChannel(samples, 0);
    const source = context.createBufferSource();
    source.buffer = buffer;
    source.connect(context.destination);
    start = context.currentTime;
    source.start();
    context.resume();
  }
  timer = setInterval(() => {
    // a browser that plays nothing yet, for want of a click, does not hold up the answers
    if (aloud && context.currentTime === start && performance.now() - begun > 2000) aloud = false;
    // without sound some seconds at a time, so that the page goes on answering
    const now = aloud ? Math.round((context.currentTime - start) * rate) : used + 4 * rate;
    upTo(Math.min(Math.max(now, used), samples.length));
  }, aloud ? 40 : 0);
  return { stop, ended };
}
