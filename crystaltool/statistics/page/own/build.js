// Elements, numbers and colours. Text of inputs becomes text nodes here, never HTML.
const COLOURS = ["#2b6cb0", "#dd8a2e"];
const SYSTEMS = {
  triclinic: "#8c6bb1", monoclinic: "#4a90c2", orthorhombic: "#2ca58d", tetragonal: "#7cb342",
  trigonal: "#e0b000", hexagonal: "#e8833a", cubic: "#c8443f",
};
const content = JSON.parse(document.getElementById("content").textContent);
const both = content.sets.length > 1;

function el(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name === "class") made.className = value;
    else if (name === "style") Object.assign(made.style, value);
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

function short(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(2);
  return String(Number(value.toPrecision(digits)));
}

function percent(share, digits = 1) {
  return share === null || Number.isNaN(share) ? "" : `${(100 * share).toFixed(digits)} %`;
}

const TITLES = {
  n_elements: "elements", n_atoms: "atoms in the cell", n_sites: "sites", volume: "volume of the cell",
  e_above_hull: "energy above the hull", formation_energy_per_atom: "formation energy", energy_per_atom: "energy",
  hull_energy_per_atom: "energy set against the hull", pld: "pore limiting diameter", lcd: "largest cavity diameter",
  predicted_pld: "predicted pore limiting diameter", predicted_lcd: "predicted largest cavity diameter",
  predicted_co2_wc: "predicted CO₂ working capacity", predicted_co2_015: "predicted CO₂ uptake at 0.15 bar",
  co2_working_capacity: "CO₂ working capacity",
};

function spaced(name) {
  return TITLES[name] || name.replaceAll("_", " ");
}

function withUnit(name, unit) {
  const shown = unit.replace(/cm3/g, "cm³").replace(/m2/g, "m²").replace(/A\^3/g, "Å³").replace(/(^|\/)A$/, "$1Å");
  return unit ? `${spaced(name)}, ${shown}` : spaced(name);
}

function section(id, title, note, ...children) {
  return el("section", { id }, el("h2", {}, title), note ? el("p", { class: "note" }, note) : null, ...children);
}

function legend() {
  if (!both) return null;
  const items = content.sets.map((set, index) =>
    el("span", { class: "key" }, el("i", { style: { background: COLOURS[index] } }), set.label));
  return el("div", { class: "legend" }, ...items);
}

function plainTable(titles, rows, wordColumns = 1) {
  const head = el("tr", {}, ...titles.map((title, i) => el("th", { class: i < wordColumns ? "" : "number" }, title)));
  const body = rows.map((row) =>
    el("tr", {}, ...row.map((cell, i) => el("td", { class: i < wordColumns ? "word" : "number" }, cell))));
  return el("div", { class: "scroll" }, el("table", { class: "plain" }, el("thead", {}, head), el("tbody", {}, ...body)));
}

async function copyText(text, button) {
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch { // pages opened as files may not have the clipboard: select and copy
    const area = el("textarea", { value: text, class: "offscreen" });
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
  }
  const before = button.textContent;
  button.textContent = done ? "Copied" : "Copy failed";
  setTimeout(() => { button.textContent = before; }, 1500);
}
