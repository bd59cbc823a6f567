"use strict";
// The page: models and clips that scripts add, controls, and what happens when a second is heard.

const models = [], clips = [];
function addModel(model) { models.push(model); }
function addClip(clip) { clips.push(clip); }

const $ = (id) => document.getElementById(id);
let engine = null, picture = null, wave = null;
let source = null; // what is being heard: {stop}
let turn = 0; // of sources: what a former one still says is not for this one
let seconds = []; // the last ten that were heard
let heardInAll = 0;
const costs = { frontEnd: [], network: [] }; // milliseconds of seconds heard

// ---- hearing ------------------------------------------------------------------------------------

/** Begins a sound at this rate in hertz. */
function begin(rate) {
  if (!engine.start(rate)) throw new Trouble(`The front end has no filter for ${rate} hertz.`);
  wave.begin(rate);
}

function take(samples, scene) {
  wave.add(samples);
  engine.push(samples, (column) => picture.add(column, engine.range()), (heard) => show(heard, scene));
}

/** One more second was heard. */
function show(heard, scene) {
  seconds.push({ ...heard, scene, number: ++heardInAll });
  seconds = seconds.slice(-SECONDS);
  costs.frontEnd.push(heard.milliseconds.frontEnd);
  costs.network.push(heard.milliseconds.network);
  showAnswers();
}

function forget() {
  seconds = [];
  heardInAll = 0;
}

/** The mean of the probabilities of the last ten seconds, of those that have some. */
function meanOf(some) {
  const said = some.map((one) => one.probabilities).filter(Boolean);
  if (!said.length) return null;
  return said[0].map((_, k) => said.reduce((sum, one) => sum + one[k], 0) / said.length);
}

function showAnswers() {
  const { classes } = engine.model, mean = meanOf(seconds), last = seconds.at(-1);
  showProbabilities($("probabilities").tBodies[0], classes, last && last.probabilities, mean);
  showLog($("log").tBodies[0], classes, seconds);
  let decision = last ? `nothing: ${last.reason}` : "nothing yet";
  if (mean) {
    const best = mean.indexOf(Math.max(...mean));
    decision = spoken(classes[best]);
  }
  // said again only when it is another one, else a screen reader would never be quiet
  if ($("decision").textContent !== decision) $("decision").textContent = decision;
  $("score").textContent = scoreOf(seconds, classes);
  if (last) {
    const [front, network] = [costs.frontEnd, costs.network].map(median);
    $("cost").textContent = `One second of sound takes ${(front + network).toFixed(1)} milliseconds here:`
      + ` ${front.toFixed(1)} for the picture, ${network.toFixed(1)} for the network.`;
    $("level").textContent = Number.isFinite(wave.level()) ? `Loudest just now: ${Math.round(wave.level())} dB below full scale.`.replace("-", "") : "It is silent.";
  }
}

/** Of seconds whose scene is known: how many were heard right. */
function scoreOf(some, classes) {
  const known = some.filter((one) => one.scene && one.probabilities);
  if (known.length < 2) return "";
  const right = known.filter((one) => classes[one.probabilities.indexOf(Math.max(...one.probabilities))] === one.scene);
  const mixed = new Set(known.map((one) => one.scene)).size > 1;
  return `${right.length} of ${known.length} seconds were heard right.`
    + (mixed ? " They come from different scenes, so one decision over all of them means little." : "");
}

function median(values) {
  const sorted = values.slice(-50).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

// ---- sources ------------------------------------------------------------------------------------

function stop() {
  turn++;
  if (source) source.stop();
  source = null;
  $("stop").disabled = true;
  $("microphone").textContent = "Listen to the microphone";
}

/** Ends what is heard and runs a new source; what goes wrong is said on the page. */
async function run(what, open) {
  stop();
  const mine = turn;
  $("problem").hidden = true;
  $("state").textContent = what;
  $("stop").disabled = false;
  forget();
  showAnswers();
  try {
    await open(() => turn === mine);
  } catch (error) {
    if (turn !== mine) return;
    stop();
    $("state").textContent = "Nothing is being heard.";
    $("problem").hidden = false;
    $("problem").textContent = error instanceof Trouble ? error.message : `Something went wrong: ${error.message}`;
    if (!(error instanceof Trouble)) console.error(error);
  }
}

function hearMicrophone() {
  return run("Opening the microphone: the browser may ask you.", async (current) => {
    const opened = await openMicrophone((rate) => current() && begin(rate), (samples) => current() && take(samples));
    if (!current()) return opened.stop();
    source = opened;
    $("microphone").textContent = "Listening…";
    $("state").textContent = `Listening to the microphone, at ${engine.rate} hertz.`;
  });
}

function hearFile(file) {
  if (!file) return;
  return run(`Reading ${file.name}.`, async (current) => {
    const sound = await decode(await file.arrayBuffer());
    if (current()) await hearSound(sound, file.name, current);
  });
}

function hearClips(list) {
  const what = list.length > 1 ? `${list.length} clips in a row` : `one second of ${spoken(list[0].scene)}`;
  return run(`Playing ${what}.`, async (current) => {
    for (const clip of list) {
      const sound = await decode(bytesOf(clip.wav).buffer);
      if (!current()) return;
      await hearSound(sound, `${what}, device ${clip.device}`, current, clip.scene);
    }
  });
}

async function hearSound(sound, name, current, scene) {
  begin(sound.rate);
  $("state").textContent = `Hearing ${name}.`;
  source = playSamples(sound, $("aloud").checked, (samples) => take(samples, scene));
  if (!(await source.ended) || !current()) return;
  $("state").textContent = `Heard to the end: ${name}.`;
  $("stop").disabled = true;
}

// ---- the page -----------------------------------------------------------------------------------

let wanted; // the model that was chosen last

async function choose(model) {
  wanted = model;
  const opened = await Engine.open(model);
  if (wanted !== model) return; // another one was chosen meanwhile
  stop();
  engine = opened;
  picture = new Picture($("picture"), engine.bands);
  wave = new Wave($("wave"));
  forget();
  costs.frontEnd = [];
  costs.network = [];
  showHertz($("hertz"), engine.bands);
  showAnswers();
  const kilobytes = Math.round(bytesOf(model.wasm).length / 1000);
  $("learnt").textContent = `${model.name}: ${model.learnt}`;
  $("file-of-model").textContent = `${model.file} has ${model.bytes.toLocaleString("en")} bytes; as WebAssembly,`
    + ` front end and all, it has ${kilobytes} kilobytes (${model.compiler}).`;
}

function fill(select, values, words) {
  select.replaceChildren(...values.map((value, i) => new Option(words[i], value)));
}

async function openPage() {
  $("back").hidden = location.search !== "?book";
  if (!models.length || !("WebAssembly" in window)) {
    $("problem").hidden = false;
    $("problem").textContent = models.length
      ? "This browser has no WebAssembly: try a newer one."
      : "No model is in the folder models: python -m asclib firmware MODEL --page DIR adds one.";
    return;
  }
  fill($("model"), models.map((_, i) => i), models.map((model) => model.name));
  $("choose-model").hidden = models.length < 2;
  const scenes = [...new Set(clips.map((clip) => clip.scene))];
  const devices = [...new Set(clips.map((clip) => clip.device))];
  fill($("scene"), scenes, scenes.map(spoken));
  fill($("device"), devices, devices.map((one) => `${one}: ${clips.find((clip) => clip.device === one).about}`));
  $("clips").hidden = !clips.length;

  const chosen = (scene) => clips.filter((clip) => clip.device === $("device").value && (!scene || clip.scene === scene));
  $("model").onchange = () => choose(models[$("model").value]);
  $("microphone").onclick = hearMicrophone;
  $("file").onchange = () => hearFile($("file").files[0]);
  $("clip").onclick = () => hearClips(chosen($("scene").value));
  $("row").onclick = () => hearClips(chosen());
  $("stop").onclick = () => { stop(); $("state").textContent = "Stopped."; };
  addEventListener("keydown", (event) => { if (event.key === "Escape" && !$("stop").disabled) $("stop").click(); });
  addEventListener("dragover", (event) => { event.preventDefault(); $("drop").classList.add("over"); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").classList.remove("over"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    hearFile(event.dataTransfer.files[0]);
  });
  try {
    await choose(models[0]);
  } catch (error) {
    $("problem").hidden = false;
    $("problem").textContent = `This browser cannot run the network (${error.message}): try a newer one.`;
    return;
  }
  const draw = () => { wave.draw(); requestAnimationFrame(draw); };
  draw();
  document.body.dataset.ready = "yes";
}
