// The periodic table, coloured by how many structures have an element; a click filters the table of structures.
const chosenElements = new Set();
const elementListeners = [];

function place(z) { // row and column of an element, f block below
  if (z === 1) return [1, 1];
  if (z === 2) return [1, 18];
  if (z <= 10) return [2, z <= 4 ? z - 2 : z + 8];
  if (z <= 18) return [3, z <= 12 ? z - 10 : z];
  if (z <= 36) return [4, z - 18];
  if (z <= 54) return [5, z - 36];
  if (z >= 57 && z <= 70) return [9, z - 54];
  if (z >= 89 && z <= 102) return [10, z - 86];
  if (z <= 86) return [6, z <= 56 ? z - 54 : z - 68];
  return [7, z <= 88 ? z - 86 : z - 100];
}

function shade(part) { // white to dark blue
  const stops = [[247, 250, 253], [190, 214, 236], [95, 155, 205], [25, 90, 160], [8, 48, 107]];
  const at = Math.min(Math.max(part, 0), 1) * (stops.length - 1);
  const low = Math.min(Math.floor(at), stops.length - 2);
  const mixed = stops[low].map((value, i) => Math.round(value + (stops[low + 1][i] - value) * (at - low)));
  return { background: `rgb(${mixed.join(",")})`, color: part > 0.5 ? "#fff" : "#1b2733" };
}

function ratioShade(ratio) { // orange below 1, blue above, on a scale of powers of two
  const at = Math.max(-1, Math.min(1, Math.log2(ratio) / 3));
  const end = at > 0 ? [43, 108, 176] : [221, 138, 46];
  const mixed = end.map((value) => Math.round(250 + (value - 250) * Math.abs(at)));
  return { background: `rgb(${mixed.join(",")})`, color: Math.abs(at) > 0.6 ? "#fff" : "#1b2733" };
}

function periodicTable() {
  const totals = content.sets.map((set) => set.n);
  const share = content.elements.map((counts, set) => counts.map((count) => (totals[set] ? count / totals[set] : 0)));
  const cells = content.symbols.map((symbol, index) => {
    const [row, column] = place(index + 1);
    const value = el("small", {});
    const facts = content.sets.map((set, i) => `${set.label}: ${content.elements[i][index]} structures, ${percent(share[i][index])}`);
    const cell = el("button", {
      class: "element", title: [`${symbol}, ${index + 1}`, ...facts].join("\n"), type: "button",
      style: { gridRow: row, gridColumn: column },
      onclick: () => toggleElement(symbol),
    }, el("i", {}, String(index + 1)), el("b", {}, symbol), value);
    cell.dataset.symbol = symbol;
    return { cell, value, index };
  });
  const paint = (mode) => {
    const most = Math.sqrt(Math.max(...share[mode === 1 ? 1 : 0], 1e-9));
    for (const { cell, value, index } of cells) {
      const count = mode === 2 ? content.elements[0][index] + content.elements[1][index] : content.elements[mode][index];
      const ratio = mode === 2 ? (share[0][index] + 1e-4) / (share[1][index] + 1e-4) : 0;
      value.textContent = !count ? "" : mode === 2 ? `×${short(ratio, 2)}` : (100 * share[mode][index]).toFixed(1);
      const style = !count ? { background: "#f4f5f6", color: "#9aa5b1" }
        : mode === 2 ? ratioShade(ratio) : shade(Math.sqrt(share[mode][index]) / most);
      Object.assign(cell.style, style);
    }
  };
  paint(0);
  elementListeners.push(() => cells.forEach(({ cell }) =>
    cell.classList.toggle("chosen", chosenElements.has(cell.dataset.symbol))));
  const modes = both ? el("div", { class: "modes" }, ...[content.sets[0].label, content.sets[1].label, "ratio"].map((label, i) =>
    el("label", {}, el("input", { type: "radio", name: "mode", checked: i === 0, onchange: () => paint(i) }), label))) : null;
  return [modes, el("div", { class: "scroll" }, el("div", { class: "periodic" }, ...cells.map(({ cell }) => cell)))];
}

function toggleElement(symbol) {
  if (!chosenElements.delete(symbol)) chosenElements.add(symbol);
  elementListeners.forEach((listener) => listener());
}

function clearElements() {
  chosenElements.clear();
  elementListeners.forEach((listener) => listener());
}
