"use strict";
(() => {
  const list = document.getElementById("cards");
  const cards = [...list.children];
  const control = (id) => document.getElementById(id);
  const sort = control("sort"), kind = control("kind"), show = control("show"), outline = control("outline");
  const large = control("large");
  const number = (card, key) => Number(card.dataset[key]);
  const byScore = (a, b) => number(b, "score") - number(a, "score") || number(a, "place") - number(b, "place");
  const byName = (a, b) => number(a, "place") - number(b, "place");
  const byKind = (a, b) => a.dataset.kind.localeCompare(b.dataset.kind) || byScore(a, b);
  const orders = { "score": byScore, "-score": (a, b) => byScore(b, a), "name": byName, "kind": byKind };
  const tests = {
    "": () => true,
    "wrong": (card) => card.dataset.wrong === "1",
    "lost": (card) => card.dataset.lost === "1",
    "good": (card) => card.dataset.verdict === "good",
    "defective": (card) => card.dataset.verdict === "defective",
  };
  let visible = cards, current = cards[0];

  function choose(card, focus) {
    if (!card) return;
    if (current) current.tabIndex = -1;
    current = card;
    card.tabIndex = 0;
    if (focus) card.focus();
  }

  function arrange() {
    const test = tests[show.value], wanted = kind ? kind.value : "";
    cards.sort(orders[sort.value]);
    for (const card of cards) card.hidden = !(test(card) && (!wanted || card.dataset.kind === wanted));
    list.append(...cards);
    visible = cards.filter((card) => !card.hidden);
    control("count").textContent = visible.length === cards.length ? `${cards.length} shown` : `${visible.length} of ${cards.length}`;
    control("empty").hidden = visible.length > 0;
    if (!visible.includes(current)) choose(visible[0], false);
  }

  function step(by, focus) {
    const place = visible.indexOf(current) + by;
    choose(visible[Math.max(0, Math.min(visible.length - 1, place))], focus);
  }

  function columns() {
    const top = visible.length ? visible[0].offsetTop : 0;
    const count = visible.findIndex((card) => card.offsetTop !== top);
    return count < 0 ? Math.max(visible.length, 1) : count;
  }

  function fill() {
    const inner = current.cloneNode(true).children;
    control("large-card").replaceChildren(...inner);
    control("large-place").textContent = `${visible.indexOf(current) + 1} of ${visible.length}`;
    large.setAttribute("aria-label", current.getAttribute("aria-label"));
  }

  function enlarge(card) {
    choose(card, false);
    fill();
    large.showModal();
  }

  function turn(by) {
    step(by, false);
    fill();
  }

  function toggleOutline() {
    if (!outline) return;
    outline.checked = !outline.checked;
    outline.dispatchEvent(new Event("change"));
  }

  list.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns(), Home: -visible.length, End: visible.length };
    if (event.key in moves) step(moves[event.key], true);
    else if (event.key === "Enter" || event.key === " ") enlarge(current);
    else return;
    event.preventDefault();
  });
  list.addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (card) enlarge(card);
  });
  list.addEventListener("focusin", (event) => {
    const card = event.target.closest(".card");
    if (card && card !== current) choose(card, false);
  });
  large.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight" || event.key === "ArrowDown") turn(1);
    else if (event.key === "ArrowLeft" || event.key === "ArrowUp") turn(-1);
    else return;
    event.preventDefault();
  });
  large.addEventListener("close", () => current && current.focus());
  large.addEventListener("click", (event) => { if (event.target === large) large.close(); });
  document.addEventListener("keydown", (event) => {
    const typing = /^(SELECT|INPUT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key.toLowerCase() === "m" && !typing && !event.ctrlKey && !event.metaKey) toggleOutline();
  });
  control("before").addEventListener("click", () => turn(-1));
  control("after").addEventListener("click", () => turn(1));
  control("close").addEventListener("click", () => large.close());
  for (const chooser of [sort, kind, show]) if (chooser) chooser.addEventListener("change", arrange);
  if (outline) outline.addEventListener("change", () => document.body.classList.toggle("no-outline", !outline.checked));
  document.querySelector(".tools").addEventListener("submit", (event) => event.preventDefault());
  arrange();
})();
