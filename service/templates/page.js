"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const WAIT = 700;  // milliseconds between two looks at a result that is not done
  const PAGE = 50;  // results asked for at once
  let objects = [], history = [], older = null, shownId = "", wanted = null;

  const make = (name, text = "", classes = "") => {
    const element = document.createElement(name);
    element.textContent = text;
    element.className = classes;
    return element;
  };
  const digits = (value, places = 3) => value === null || value === undefined ? "–"
    : value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : Number(value.toPrecision(places)).toString();
  const percent = (value) => value === null || value === undefined ? "–" : `${Math.round(100 * value)} %`;
  const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;
  const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
  const namesOf = (result) => result.name ? `${result.name} (${result.photos.length} photos)` : result.photos.length > 3
    ? `${result.photos.slice(0, 2).join(", ")} and ${result.photos.length - 2} more` : result.photos.join(", ");

  async function ask(address, options = {}) {
    let response;
    try { response = await fetch(address, { ...options, credentials: "same-origin" }); }
    catch { throw new Error("The service cannot be reached; it may be restarting."); }
    if (response.status === 401) { $("sign-in").hidden = false; $("token").focus(); }
    const text = await response.text();
    let content = {};
    try { content = text ? JSON.parse(text) : {}; } catch { content = { detail: `The service answered ${response.status}.` }; }
    return { status: response.status, ok: response.ok, content, retry: Number(response.headers.get("Retry-After")) || 1 };
  }

  // ---- objects and state

  async function readState() {
    try {
      const { status, content } = await ask("/health");
      if (status === 401) { say("sign in to see results", true); return; }
      const names = content.objects.map((one) => one.object_name).join();
      if (names !== objects.map((one) => one.object_name).join()) {
        const before = $("object").value || localStorage.getItem("object");
        $("object").replaceChildren(...content.objects.map((one) => new Option(one.object_name)));
        if (content.objects.some((one) => one.object_name === before)) $("object").value = before;
      }
      const first = !objects.length || objects.some((one) => one.state === "loading");
      objects = content.objects;
      const failed = objects.filter((one) => one.state === "failed");
      const waiting = content.queue_length;
      say((content.ready ? "ready" : "loading objects") + (waiting ? `, ${waiting} in the queue` : "")
        + failed.map((one) => `; ${one.object_name} could not be loaded: ${one.error}`).join(""), failed.length > 0);
      if (first) showThreshold();
    } catch (error) { say(error.message, true); }
  }
  function say(text, bad) { $("state").textContent = text; $("state").classList.toggle("bad", bad); }

  // ---- sending

  async function send(files) {
    const photos = [...files];
    if (!photos.length) return;
    if (chosen("kind") === "part" && photos.length > 1) return sendOne("/parts", photos, `part of ${photos.length} photos`);
    for (const photo of photos) await sendOne("/photos", [photo], photo.name);
  }
  async function sendOne(address, photos, what) {
    const line = make("li", `${what}: sending`);
    $("sending").prepend(line);
    while ($("sending").children.length > 6) $("sending").lastChild.remove();
    const form = new FormData();
    for (const photo of photos) form.append(address === "/parts" ? "photos" : "photo", photo);
    form.append("object", $("object").value);
    if (address === "/parts" && $("name").value) form.append("name", $("name").value);
    if (chosen("masks") === "auto") form.append("masks", "auto");
    if (chosen("masks") === "file") for (const mask of $("masks").files) form.append("mask", mask);
    try {
      let answer = await ask(`${address}?wait=false`, { method: "POST", body: form });
      while (answer.status === 503 && !answer.content.id) {
        line.textContent = `${what}: ${answer.content.detail}`;
        await pause(1000 * answer.retry);
        answer = await ask(`${address}?wait=false`, { method: "POST", body: form });
      }
      if (!answer.ok && !answer.content.id) throw new Error(answer.content.detail);
      const id = answer.content.id;
      while (answer.status === 202) {
        line.textContent = `${what}: ${answer.content.state}`;
        await pause(WAIT);
        answer = await ask(`/results/${id}`).catch(() => ({ status: 202, content: { state: "waiting for the service" } }));
      }
      if (!answer.ok && answer.status !== 200) answer = await ask(`/results/${id}`);
      line.textContent = `${what}: ${answer.content.verdict || answer.content.error}`;
      line.classList.toggle("bad", answer.content.state === "failed");
      show(answer.content);
      await readHistory();
    } catch (error) {
      line.textContent = `${what}: ${error.message}`;
      line.classList.add("bad");
    }
    readState();
  }

  // ---- one result

  function show(result) {
    shownId = result.id;
    window.history.replaceState(null, "", `#${result.id}`);
    $("no-result").hidden = true;
    $("shown").hidden = false;
    const verdict = result.verdict || result.state;
    $("verdict").textContent = verdict === "failed" ? "not judged" : verdict;
    $("verdict").className = `verdict big ${verdict}`;
    $("what").textContent = `${result.object_name} · ${namesOf(result)}`;
    $("json").href = result.links.self;
    $("part-page").hidden = !result.links.page;
    if (result.links.page) $("part-page").href = result.links.page;
    if ($("confirm")) {
      $("confirm").hidden = !(result.kind === "photo" && result.verdict === "defective" && result.pose_found);
      $("confirm").disabled = result.confirmed_good !== undefined;
      $("confirm").textContent = result.confirmed_good === undefined ? "This one is good" : "confirmed as good";
    }
    showWarning(result);
    showScale(result);
    showPictures(result);
    showFacts(result);
    showRegions(result.regions || []);
    for (const row of $("history").tBodies[0].rows) row.classList.toggle("is-shown", row.dataset.id === shownId);
  }
  function showWarning(result) {
    const sentences = [];
    if (result.error) sentences.push(result.error);
    if (result.pose_found === false) sentences.push("The pose was not found: do not trust this verdict.");
    if (result.kind === "photo" && Number.isFinite(result.seen_share) && result.seen_share < 0.5)
      sentences.push(`Only ${percent(result.seen_share)} of what it shows was seen in training; the verdict is on that alone.`);
    if (result.remark) sentences.push(result.remark);
    $("warning").textContent = sentences.join(" ");
    $("warning").hidden = !sentences.length;
  }
  function showScale(result) {
    const there = Number.isFinite(result.anomaly_score) && Number.isFinite(result.threshold);
    $("scale").hidden = $("scale-text").hidden = !there;
    if (!there) return;
    $("scale-score").style.width = `${Math.min(100, 50 * result.anomaly_score / result.threshold)}%`;
    $("scale-score").className = result.verdict;
    $("scale-text").textContent = `Score ${digits(result.anomaly_score)}, threshold ${digits(result.threshold)}`;
  }
  function showPictures(result) {
    const ofPhoto = [["photo", "photo"], ["heat_map", "heat map"], ["reference", "good object, same side"]];
    const views = result.views
      ? result.views.flatMap((view) => [["photo", view.name], ["heat_map", view.counted ? `score ${digits(view.anomaly_score)}` : `${view.pose_found ? "the same photo again" : "pose not found"}: not counted`]]
        .map(([role, title]) => [view.links[role], title]))
      : ofPhoto.map(([role, title]) => [result.links[role], title]);
    $("pictures").replaceChildren(...views.filter(([address]) => address).map(([address, title]) => {
      const figure = make("figure"), link = make("a"), image = make("img");
      link.href = image.src = address;
      link.target = "_blank";
      link.rel = "noopener";
      image.alt = `${title}, ${namesOf(result)}`;
      image.onerror = () => figure.remove();  // a browser does not show TIFF
      link.append(image);
      figure.append(link, make("figcaption", title));
      return figure;
    }));
  }
  function showFacts(result) {
    const isPart = result.kind === "part", next = result.next_view;
    const facts = [
      ["p-value", digits(result.p_value)],
      ["pose", result.pose_found === undefined ? "–" : result.pose_found ? "found" : "not found"],
      ["confidence of the pose", percent(result.pose_confidence)],
      [isPart ? "of the surface seen" : "seen in training", percent(result.seen_share)],
      ["seen twice or more", percent(result.seen_twice_share)],
      ["anomalous regions", result.regions ? String(result.regions.length) : "–"],
      ["defects", result.defects ? String(result.defects.length) : "–"],
      ["worth photographing next", next ? `azimuth ${Math.round(next.azimuth)}°, elevation ${Math.round(next.elevation)}°` : "–"],
      ["seconds", digits(result.seconds, 2)],
    ];
    $("facts").replaceChildren(...facts.filter(([, value]) => value !== "–").map(([name, value]) => {
      const fact = make("div");
      fact.append(make("dt", name), make("dd", value));
      return fact;
    }));
  }
  function showRegions(regions) {
    $("regions").hidden = !regions.length;
    $("regions").tBodies[0].replaceChildren(...regions.slice(0, 20).map((region) => {
      const row = make("tr");
      row.append(make("th", `${region.left}, ${region.top}, ${region.width} × ${region.height}`), make("td", digits(region.anomaly_score)),
        make("td", digits(region.p_value)), make("td", digits(region.length)));
      return row;
    }));
  }

  // ---- history

  const oneObject = () => objects.length < 2 || $("this-object").checked;
  function historyAddress(before) {
    const query = new URLSearchParams({ limit: PAGE });
    if (oneObject() && $("object").value) query.set("object", $("object").value);
    if (wanted !== null) query.set("threshold", wanted);
    if (before) query.set("before", before);
    return `/results?${query}`;
  }
  let asked = 0;
  async function readHistory(before = "") {
    const number = ++asked;
    const { ok, content } = await ask(historyAddress(before));
    if (!ok || number !== asked) return;  // a late answer is to a question that nobody asks any more
    history = before ? [...history, ...content.results] : content.results;
    older = content.next_before;
    showHistory();
  }
  const chip = (verdict) => make("span", verdict === "failed" ? "not judged" : verdict, `verdict ${verdict}`);
  function showHistory() {
    const atThreshold = wanted !== null;
    $("at-head").hidden = !atThreshold;
    $("history").hidden = !history.length;
    $("no-history").hidden = history.length > 0;
    $("older").hidden = !older;
    $("history").tBodies[0].replaceChildren(...history.map((result) => {
      const row = make("tr"), open = make("button", namesOf(result), "open"), names = make("td"), verdict = make("td"), at = make("td");
      open.type = "button";
      names.append(open);
      verdict.append(chip(result.verdict || result.state));
      row.append(names, verdict);
      if (atThreshold) { if (result.verdict_at_threshold) at.append(chip(result.verdict_at_threshold)); row.append(at); }
      row.append(make("td", digits(result.anomaly_score)), make("td", digits(result.p_value)), make("td", result.object_name),
        make("td", result.received.replace("T", " ").replace("Z", "")));
      row.dataset.id = result.id;
      row.classList.toggle("is-shown", result.id === shownId);
      row.onclick = () => { show(result); $("result").scrollIntoView({ block: "nearest" }); };
      return row;
    }));
    showCounts();
  }
  function showCounts() {
    const photos = history.filter((result) => result.verdict_at_threshold);
    const count = (results, key) => ["good", "defective"]
      .map((verdict) => `${results.filter((result) => result[key] === verdict).length} ${verdict}`).join(", ");
    const differ = photos.filter((result) => result.verdict_at_threshold !== result.verdict).length;
    $("counts").textContent = !history.length ? "" : wanted === null ? count(history, "verdict")
      : `${photos.length} photos: ${count(photos, "verdict")}; at ${digits(wanted)}: ${count(photos, "verdict_at_threshold")} (${differ} differ)`;
  }

  // ---- the threshold as a view

  const stored = () => (objects.find((one) => one.object_name === $("object").value) || {}).threshold;
  function showThreshold() {
    const usable = oneObject() && Number.isFinite(stored());
    for (const id of ["threshold", "slider", "reset"]) $(id).disabled = !usable;
    $("threshold").value = usable ? digits(wanted === null ? stored() : wanted, 4) : "";
    $("slider").value = usable ? (wanted === null ? stored() : wanted) / stored() : 1;
    $("threshold-note").textContent = usable
      ? `The threshold of ${$("object").value} is ${digits(stored(), 4)}. Stored verdicts stay as they are; this shows what another one would have said of photos (a part's depends on the number of its photos).`
      : "Tick “this object only” to see what another threshold would have said.";
  }
  function setThreshold(value) {
    wanted = Number.isFinite(value) && value >= 0 ? value : null;
    showThreshold();
    readHistory().catch((error) => say(error.message, true));
  }
  let soon = 0;
  $("threshold").onchange = () => setThreshold($("threshold").value === "" ? NaN : Number($("threshold").value));
  $("slider").oninput = () => {
    $("threshold").value = digits($("slider").value * stored(), 4);
    clearTimeout(soon);
    soon = setTimeout(() => setThreshold(Number($("threshold").value)), 150);
  };
  $("reset").onclick = () => setThreshold(NaN);

  // ---- learning, where the service allows it

  async function learn(address) {
    $("learned").textContent = "learning …";
    const { ok, content } = await ask(address, { method: "POST" });
    $("learned").textContent = !ok ? content.detail : content.kind === "undo" ? `Change ${content.number} is taken back.`
      : `The threshold was ${digits(content.before.threshold, 4)} and is ${digits(content.after.threshold, 4)} now, for photos to come.`;
    if (ok && shownId) show((await ask(`/results/${shownId}`)).content);
    await readState();
    setThreshold(NaN);
  }
  if ($("undo")) {
    $("undo").onclick = () => learn(`/objects/${encodeURIComponent($("object").value)}/undo`);
    $("confirm").onclick = () => learn(`/results/${shownId}/confirm_good`);
  }

  // ---- what people do

  $("object").onchange = () => { localStorage.setItem("object", $("object").value); setThreshold(NaN); };
  $("this-object").onchange = () => setThreshold(NaN);
  $("older").onclick = () => readHistory(older);
  $("files").onchange = async () => { await send($("files").files); $("files").value = ""; };
  const zone = $("zone");
  for (const kind of ["dragenter", "dragover"]) zone.addEventListener(kind, (event) => { event.preventDefault(); zone.classList.add("over-it"); });
  for (const kind of ["dragleave", "drop"]) zone.addEventListener(kind, (event) => { event.preventDefault(); zone.classList.remove("over-it"); });
  zone.addEventListener("drop", (event) => send(event.dataTransfer.files));
  for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());  // else a miss leaves the page
  $("sign-in").onsubmit = async (event) => {
    event.preventDefault();
    const { ok, content } = await ask("/session", { method: "POST", body: new URLSearchParams({ token: $("token").value }) });
    if (ok) location.reload(); else $("sign-in-error").textContent = content.detail;
  };

  async function showNamed() {  // a result has an address, /#id
    const named = location.hash.slice(1);
    if (!named || named === shownId) return;
    const { status, content } = await ask(`/results/${encodeURIComponent(named)}`);
    if (status === 200) show(content);
  }
  window.addEventListener("hashchange", showNamed);

  async function begin() {
    await readState();
    await readHistory().catch((error) => say(error.message, true));
    await showNamed();
    setInterval(readState, 5000);
  }
  begin();
})();
