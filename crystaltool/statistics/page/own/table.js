// The table of structures by Tabulator: cells are text nodes; filters of numbers know <, <=, >, >=, = and a..b.
function textCell(cell) {
  const value = cell.getValue();
  return document.createTextNode(value === null || value === undefined ? "" : String(value));
}

function numberCell(cell) {
  return document.createTextNode(short(cell.getValue(), 6));
}

function numberFilter(asked, value) {
  const text = String(asked).replaceAll(" ", "");
  const range = text.match(/^(-?[\d.eE+-]+)\.\.(-?[\d.eE+-]+)$/);
  if (range) return value !== null && value >= Number(range[1]) && value <= Number(range[2]);
  const parts = text.match(/^(<=|>=|<|>|=)?(.*)$/);
  const limit = Number(parts[2]);
  if (parts[2] === "" || Number.isNaN(limit)) return parts[2] === "" || parts[2] === "-" || parts[2] === ".";
  if (value === null) return false;
  const rules = { "<": value < limit, "<=": value <= limit, ">": value > limit, ">=": value >= limit };
  return parts[1] in rules ? rules[parts[1]] : Math.abs(value - limit) <= 1e-6 * Math.max(1, Math.abs(limit));
}

function titled(title) { // a node, so that names of fields are no HTML
  return { titleFormatter: () => document.createTextNode(title), title: "" };
}

function columnsOf(table) {
  const words = [...table.words, ...table.texts].map((name, i) => ({
    ...titled(spaced(name)), field: `w${i}`, formatter: textCell, headerFilter: "input",
    headerFilterPlaceholder: name === "checks" ? "pass, fail" : "contains",
    sorter: name === "space_group" ? (a, b) => parseInt(a || 0, 10) - parseInt(b || 0, 10) : "string",
    frozen: i === 0, maxWidth: i === 0 ? 300 : 260, index: i,
  }));
  const numbers = table.numbers.map(([name, unit], i) => ({
    ...titled(withUnit(name, unit)), field: `x${i}`, formatter: numberCell, hozAlign: "right", headerFilter: "input",
    headerFilterFunc: numberFilter, headerFilterPlaceholder: "< 0.1  1..5", sorter: "number",
    sorterParams: { alignEmptyValues: "bottom" }, minWidth: 110, maxWidth: 240,
  }));
  const front = words.slice(0, table.words.length);
  const favourite = numbers.slice(0, 3);
  return [...front, ...favourite, ...words.slice(table.words.length), ...numbers.slice(3)]
    .map(({ index, ...column }) => column);
}

function structureTable(onRow) {
  const { table } = content;
  const data = table.rows.map((row, id) => ({
    id, e: row.e,
    ...Object.fromEntries(row.w.map((value, i) => [`w${i}`, value])),
    ...Object.fromEntries(row.x.map((value, i) => [`x${i}`, value])),
  }));
  const holder = el("div", { id: "structures-table" });
  const status = el("span", { class: "status" });
  const clear = el("button", { type: "button", class: "small", hidden: true, onclick: clearElements }, "all elements");
  const start = () => {
    const made = new Tabulator(holder, {
      data, columns: columnsOf(table), height: Math.min(620, 130 + 36 * data.length), layout: "fitData",
      placeholder: "no structure passes the filters", columnDefaults: { headerSortTristate: true, resizable: true },
    });
    window.structureTable = made;
    const say = () => {
      const n = made.getDataCount("active");
      const elements = [...chosenElements].join(", ");
      status.textContent = `${n} of ${data.length} structures` + (elements ? ` with ${elements}` : "");
      clear.hidden = !elements;
    };
    made.on("tableBuilt", say);
    made.on("dataFiltered", (_, rows) => setTimeout(say, 0));
    made.on("rowClick", (_, row) => onRow(row.getData().w0));
    elementListeners.push(() => {
      made.setFilter((row) => [...chosenElements].every((symbol) => row.e.includes(symbol)));
      say();
    });
  };
  return { box: [el("div", { class: "bar" }, status, clear), holder], start };
}
