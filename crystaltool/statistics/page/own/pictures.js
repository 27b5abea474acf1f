// Structures that can be turned, by 3Dmol.js. One WebGL canvas serves all: it moves to the card under the pointer, the
// others show the image that was drawn of them last.
let stage = null;

function makeStage() {
  if (stage) return stage;
  const box = el("div", { class: "stage" });
  document.body.append(box);
  try {
    const viewer = $3Dmol.createViewer(box, { backgroundColor: "white", antialias: true });
    if (!viewer) throw new Error("no WebGL");
    stage = { box, viewer, card: null };
  } catch {
    box.remove();
    stage = { box: null, viewer: null, card: null };
  }
  return stage;
}

function colourOf(symbol) {
  const value = $3Dmol.elementColors.Jmol[symbol] ?? 0xff1493;
  return `#${value.toString(16).padStart(6, "0")}`;
}

function triangles(drawing, colour) { // faces of all polyhedra of one colour as one shape with flat shading
  const shape = { vertexArr: [], normalArr: [], faceArr: [], color: colour, alpha: 0.55, opacity: 0.55 };
  return {
    add(near, corners) {
      for (let i = 0; i < corners.length; i += 3) {
        const [p, q, r] = corners.slice(i, i + 3).map((k) => drawing.positions.slice(3 * near[k], 3 * near[k] + 3));
        const u = q.map((value, k) => value - p[k]);
        const v = r.map((value, k) => value - p[k]);
        const n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
        const size = Math.hypot(...n) || 1;
        for (const point of [p, q, r]) {
          shape.faceArr.push(shape.vertexArr.length);
          shape.vertexArr.push({ x: point[0], y: point[1], z: point[2] });
          shape.normalArr.push({ x: n[0] / size, y: n[1] / size, z: n[2] / size });
        }
      }
    },
    shape,
  };
}

function drawCell(viewer, drawing) {
  const at = (a, b, c) => {
    const [x, y, z] = [0, 1, 2].map((k) =>
      drawing.origin[k] + a * drawing.lattice[0][k] + b * drawing.lattice[1][k] + c * drawing.lattice[2][k]);
    return { x, y, z };
  };
  const longest = Math.max(...drawing.lattice.map((row) => Math.hypot(...row)));
  const edge = (start, end, color, radius) =>
    viewer.addCylinder({ start, end, color, radius: radius * longest, fromCap: 2, toCap: 2 });
  for (const i of [0, 1]) {
    for (const j of [0, 1]) {
      if (i || j) {
        edge(at(0, i, j), at(1, i, j), "#aab4be", 0.003);
        edge(at(i, 0, j), at(i, 1, j), "#aab4be", 0.003);
        edge(at(i, j, 0), at(i, j, 1), "#aab4be", 0.003);
      }
    }
  }
  edge(at(0, 0, 0), at(1, 0, 0), "#c8443f", 0.005);
  edge(at(0, 0, 0), at(0, 1, 0), "#3a9a4b", 0.005);
  edge(at(0, 0, 0), at(0, 0, 1), "#2b6cb0", 0.005);
}

function drawStructure(viewer, drawing, polyhedra) {
  viewer.clear();
  const n = drawing.elements.length;
  const atoms = Array.from({ length: n }, (_, i) => ({
    elem: drawing.symbols[drawing.elements[i]], index: i, serial: i, bonds: [], bondOrder: [], properties: {},
    x: drawing.positions[3 * i], y: drawing.positions[3 * i + 1], z: drawing.positions[3 * i + 2],
  }));
  for (let k = 0; k < drawing.bonds.length; k += 2) {
    const [i, j] = drawing.bonds.slice(k, k + 2);
    atoms[i].bonds.push(j);
    atoms[j].bonds.push(i);
    atoms[i].bondOrder.push(1);
    atoms[j].bondOrder.push(1);
  }
  viewer.addModel().addAtoms(atoms);
  drawing.symbols.forEach((symbol, kind) => {
    const color = colourOf(symbol);
    viewer.setStyle({ elem: symbol }, {
      sphere: { radius: drawing.radii[kind], color }, stick: { radius: n > 150 ? 0.08 : 0.1, color },
    });
  });
  if (polyhedra) {
    const shapes = new Map();
    for (const [kind, near, corners] of drawing.polyhedra) {
      const colour = colourOf(drawing.symbols[kind]);
      if (!shapes.has(colour)) shapes.set(colour, triangles(drawing, colour));
      shapes.get(colour).add(near, corners);
    }
    shapes.forEach(({ shape }) => viewer.addCustom(shape));
  }
  drawCell(viewer, drawing);
}

function show(card, view) { // the canvas takes the place of the card's image
  const made = makeStage();
  if (!made.viewer) return false;
  if (made.card && made.card !== card) leave();
  made.card = card;
  card.frame.append(made.box);
  made.viewer.resize();
  drawStructure(made.viewer, card.picture.drawing, card.polyhedra);
  if (view) made.viewer.setView(view);
  else {
    made.viewer.setView([0, 0, 0, 0, 0, 0, 0, 1]);
    made.viewer.zoomTo();
    made.viewer.rotate(-90, "x");
    made.viewer.rotate(-20, "y");
    made.viewer.rotate(12, "x");
  }
  made.viewer.render();
  return true;
}

function leave() { // the card keeps what was seen last
  const { card, viewer } = stage;
  if (!card) return;
  card.view = viewer.getView();
  card.image.src = viewer.pngURI();
  stage.card = null;
}

function pictureCard(picture) {
  const card = { picture, view: null, polyhedra: Boolean(picture.drawing && picture.drawing.polyhedra.length) };
  card.image = el("img", { alt: `Drawing of ${picture.formula}`, draggable: false });
  card.frame = el("div", { class: "frame", tabIndex: 0, ariaLabel: `${picture.name}: drag to turn, wheel to zoom` }, card.image);
  if (picture.drawing) {
    const take = () => { if (!stage || stage.card !== card) show(card, card.view); };
    card.frame.addEventListener("pointerenter", take);
    card.frame.addEventListener("focus", take);
    card.frame.addEventListener("keydown", (event) => {
      const turn = { ArrowLeft: [-15, "y"], ArrowRight: [15, "y"], ArrowUp: [-15, "x"], ArrowDown: [15, "x"] }[event.key];
      if (!turn || !stage.viewer) return;
      event.preventDefault();
      stage.viewer.rotate(...turn);
      stage.viewer.render();
    });
  } else {
    card.frame.append(el("p", { class: "note" }, "too large to be drawn"));
  }
  card.box = el("article", { class: "card picture" }, card.frame, caption(card));
  return card;
}

function caption(card) {
  const { picture } = card;
  const chips = picture.drawing
    ? picture.drawing.symbols.map((symbol) => el("span", { class: "chip" },
      el("i", { style: { background: colourOf(symbol) } }), symbol)) : [];
  const values = picture.values.slice(0, 5).map(([name, value, unit]) =>
    el("div", {}, el("dt", {}, withUnit(name, unit)), el("dd", {}, short(value))));
  const failed = picture.checks.filter(([name]) => name !== "all").map(([name]) => name);
  return el("div", { class: "caption" },
    el("h3", {}, picture.formula, picture.group ? el("small", {}, picture.group) : null),
    el("p", { class: "name" }, picture.name),
    el("div", { class: "chips" }, ...chips),
    el("dl", {}, ...values),
    failed.length ? el("p", { class: "failed" }, `fails ${failed.join(", ")}`)
      : picture.passed ? el("p", { class: "passed" }, "passes all checks") : null,
    buttons(card),
    provenance(picture));
}

function buttons(card) {
  const { picture } = card;
  const large = el("button", { type: "button", onclick: () => {
    large.textContent = card.box.classList.toggle("large") ? "Smaller" : "Larger";
    if (picture.drawing) show(card, null);
  } }, "Larger");
  const copy = picture.cif === null ? null
    : el("button", { type: "button", class: "copy", onclick: () => copyText(picture.cif, copy) }, "Copy CIF");
  const faces = card.polyhedra ? el("button", { type: "button", onclick: () => {
    card.polyhedra = !card.polyhedra;
    show(card, stage && stage.card === card ? stage.viewer.getView() : card.view);
  } }, "Polyhedra") : null;
  return el("div", { class: "buttons" }, copy, faces, picture.drawing ? large : null);
}

function provenance(picture) {
  const rest = picture.values.slice(5).map(([name, value, unit]) => [withUnit(name, unit), short(value, 6)]);
  return el("details", {}, el("summary", {}, "Provenance, values, CIF"),
    el("p", {}, `from ${picture.source}`),
    picture.history.length ? el("ul", { class: "history" }, ...picture.history.map((line) => el("li", {}, line)))
      : el("p", {}, "its block states no history"),
    rest.length ? plainTable(["value", ""], rest) : null,
    el("pre", {}, picture.cif === null ? "too long to be shown" : picture.cif));
}

function startPictures(cards) { // one image after another, so that the page answers meanwhile
  const waiting = cards.filter((card) => card.picture.drawing);
  const next = () => {
    const card = waiting.shift();
    if (!card) { document.body.dataset.pictures = "ready"; return; }
    if (!stage || stage.card === null) {
      if (!show(card, null)) {
        cards.forEach((each) => each.frame.append(el("p", { class: "note" }, "no WebGL in this browser: no picture")));
        document.body.dataset.pictures = "none";
        return;
      }
      leave();
      stage.box.remove();
    } else waiting.push(card);
    setTimeout(next, 20);
  };
  setTimeout(next, 0);
}
