// Puts the page together.
function tiles() {
  return el("div", { class: "tiles" }, ...content.tiles.map(([value, label, other]) =>
    el("div", { class: "tile" }, el("b", {}, value), el("span", {}, label), other ? el("small", {}, other) : null)));
}

function header() {
  return el("header", {},
    el("h1", {}, content.title),
    el("p", { class: "note" }, content.subtitle),
    el("nav", {}, ...[...document.querySelectorAll("section")].map((each) =>
      el("a", { href: `#${each.id}` }, each.querySelector("h2").textContent))));
}

function listSection(list) {
  const shared = list.shared === null || list.shared === undefined ? ""
    : `, ${list.shared} of them in ${content.sets[1].label}`;
  const rows = list.rows.map(([text, ...counts]) =>
    [text, ...counts.flatMap((count, i) => [String(count), percent(list.totals[i] ? count / list.totals[i] : null)])]);
  const titles = [list.heading.toLowerCase(), ...content.sets.flatMap((set) => [both ? set.label : "structures", "share"])];
  return el("div", { class: "card list" }, el("h3", {}, list.heading),
    el("p", { class: "note" }, `${list.different} different${shared}`), plainTable(titles, rows));
}

function linkerSection() {
  const { drawn, different, total } = content.linkers;
  if (!drawn.length) return null;
  const cards = drawn.map(({ smiles, count, svg }) => el("figure", { class: "card linker" },
    svg ? el("img", { alt: "", src: `data:image/svg+xml;base64,${btoa(unescape(encodeURIComponent(svg)))}` })
      : el("p", { class: "note" }, "no drawing"),
    el("figcaption", {}, el("code", {}, smiles), el("span", {}, `${count} of ${total} MOFs`))));
  const left = different > drawn.length ? `; the ${drawn.length} most common are drawn` : "";
  return section("linkers", "Linkers", `${different} different, as free ions${left}.`,
    el("div", { class: "grid linkers" }, ...cards));
}

function checkSection() {
  if (!content.checks.length) return null;
  const beside = both && content.checks.some((check) => check.shares[1] !== null);
  const titles = ["check", "pass", "fail", "not judged", beside ? `share, ${content.sets[0].label}` : "share",
    ...(beside ? [`share, ${content.sets[1].label}`] : [])];
  const rows = content.checks.map((check) => [check.name, ...check.counts.map(String),
    ...check.shares.slice(0, beside ? 2 : 1).map((share) => percent(share))]);
  return section("checks", "Checks", "Share of the structures that were judged.", plainTable(titles, rows));
}

function numberSection() {
  const rows = content.numbers.flatMap((field) => field.values.map((values, i) => values && [
    withUnit(field.name, field.unit), ...(both ? [content.sets[i].label] : []), ...values.map((value) => short(value)),
    ...(both ? [i === 0 ? short(field.distance) : ""] : [])]).filter(Boolean));
  const titles = ["field", ...(both ? ["set"] : []), "n", "min", "25 %", "median", "75 %", "max", "mean",
    ...(both ? ["Wasserstein"] : [])];
  return section("numbers", "All numbers", "", plainTable(titles, rows, both ? 2 : 1));
}

function licences() {
  const texts = JSON.parse(document.getElementById("licences").textContent);
  return el("details", {}, el("summary", {}, `Drawn with ${Object.keys(texts).join(", ")}, RDKit: licences`),
    ...Object.entries(texts).map(([name, text]) => el("div", {}, el("h3", {}, name), el("pre", {}, text))));
}

function build() {
  const page = document.getElementById("page");
  const cards = content.pictures.map(pictureCard);
  const find = (name) => cards.find((card) => card.picture.name === name);
  const table = structureTable((name) => {
    const card = find(name);
    if (card) card.box.scrollIntoView({ behavior: "smooth", block: "center" });
  });
  const charts = content.charts.map(histogramOf);
  const plots = [systemChart(), groupChart()];
  const hasGroups = content.n_groups[0] > 0;
  const parts = [
    cards.length ? section("pictures", content.sort ? `Best by ${spaced(content.sort)}` : "Structures",
      `Drag to turn, wheel to zoom; arrow keys turn, too. Axes: a red, b green, c blue. ${content.doubt}`,
      el("div", { class: "grid pictures" }, ...cards.map((card) => card.box))) : null,
    section("structures", "Table", content.table_note, ...table.box),
    checkSection(),
    section("elements", "Elements",
      "Per cent of the structures that have an element. A click filters the table by it.", ...periodicTable()),
    hasGroups ? section("symmetry", "Symmetry", content.symmetry_note, legend(),
      el("div", { class: "card" }, el("h3", {}, "Crystal systems"), plots[0].box),
      el("div", { class: "card" }, el("h3", {}, "Space groups"), plots[1].box)) : null,
    charts.length ? section("values", "Values", "Per cent of the structures in each bin; far ends are put together.",
      legend(), el("div", { class: "grid charts" }, ...charts.map((chart) => chart.box))) : null,
    content.lists.length ? section("kinds", "Kinds", "", el("div", { class: "grid lists" }, ...content.lists.map(listSection))) : null,
    linkerSection(),
    numberSection(),
  ].filter(Boolean);
  page.append(...parts);
  page.prepend(header(), tiles());
  page.append(el("footer", {}, el("p", {}, content.made), licences()));
  table.start();
  whenSeen([...charts, ...(hasGroups ? plots : [])]);
  startPictures(cards);
  document.body.dataset.built = "yes";
}

build();
