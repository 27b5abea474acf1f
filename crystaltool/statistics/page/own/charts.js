// Histograms and bars by Chart.js, shares of each set, no animation.
Chart.defaults.animation = false;
Chart.defaults.font.family = "system-ui, sans-serif";
Chart.defaults.maintainAspectRatio = false;
Chart.defaults.plugins.legend.display = false;

function bars(labels, datasets, options = {}) {
  const canvas = el("canvas", { role: "img", ariaLabel: options.label || "" });
  const box = el("div", { class: options.class || "plot" }, canvas);
  const make = () => new Chart(canvas, {
    type: "bar",
    data: { labels, datasets },
    options: {
      scales: {
        x: { grid: { display: false }, ticks: { maxRotation: 0, autoSkipPadding: 12, ...options.ticks } },
        y: { ticks: { maxTicksLimit: 5, callback: (value) => `${short(value, 3)} %` }, border: { display: false } },
      },
      plugins: { tooltip: { callbacks: options.callbacks || {} } },
    },
  });
  return { box, make };
}

function shares(counts) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.map((count) => (total ? (100 * count) / total : 0));
}

function dataset(counts, index, more = {}) {
  return {
    label: content.sets[index].label, data: shares(counts), counts,
    backgroundColor: COLOURS[index] + (both ? "b0" : "e0"), ...more,
  };
}

function tip(item) {
  const { label, counts, data } = item.dataset;
  return `${both ? label + ": " : ""}${counts[item.dataIndex]} structures, ${data[item.dataIndex].toFixed(1)} %`;
}

function histogramOf(chart) {
  const { edges } = chart;
  const labels = edges.slice(0, -1).map((edge, i) => [edge, edges[i + 1]]);
  const whole = labels.every(([low, high]) => high - low === 1 && low % 1 !== 0);
  const halves = edges.every((edge) => Math.abs(edge % 1) === 0.5); // whole numbers in wider bins
  const text = ([low, high]) => (whole ? String((low + high) / 2) : `${short(low + (halves ? 0.5 : 0))} to ${short(high - (halves ? 0.5 : 0))}`);
  const datasets = chart.counts
    .map((counts, index) => counts && dataset(counts, index, {
      grouped: false, barPercentage: 1, categoryPercentage: whole ? 0.8 : 1, order: index,
    })).filter(Boolean);
  const made = bars(labels, datasets, {
    label: `Histogram of ${spaced(chart.name)}`,
    ticks: { callback: (_, i) => (whole ? text(labels[i]) : short(labels[i][0] + (halves ? 0.5 : 0))), maxTicksLimit: 9 },
    callbacks: { title: (items) => withUnit(text(labels[items[0].dataIndex]), chart.unit), label: tip },
  });
  const row = content.numbers.find((number) => number.name === chart.name);
  const note = both && row && row.distance !== null ? `Wasserstein ${short(row.distance, 3)}` : "";
  const median = row.values[0] ? `median ${short(row.values[0][3], 3)}` : "";
  return {
    box: el("figure", { class: "card chart" },
      el("figcaption", {}, el("b", {}, withUnit(chart.name, chart.unit)), el("span", {}, note || median)), made.box),
    make: made.make,
  };
}

function groupChart() {
  const shown = content.groups;
  const datasets = content.sets.map((_, index) => dataset(shown.map((row) => row[3 + index]), index, {
    barPercentage: 1, categoryPercentage: 0.9,
    ...(both ? {} : { backgroundColor: shown.map((row) => SYSTEMS[row[2]]) }),
  }));
  return bars(shown.map((row) => row[0]), datasets, {
    class: "plot wide", label: "Space groups",
    callbacks: {
      title: (items) => { const row = shown[items[0].dataIndex]; return `${row[0]}  ${row[1]}  (${row[2]})`; },
      label: tip,
    },
  });
}

function systemChart() {
  const names = content.systems.map((row) => row[0]);
  const datasets = content.sets.map((_, index) => dataset(content.systems.map((row) => row[1 + index]), index, {
    ...(both ? {} : { backgroundColor: names.map((name) => SYSTEMS[name]) }),
  }));
  return bars(names, datasets, { class: "plot wide", label: "Crystal systems", callbacks: { label: tip } });
}

function whenSeen(charts) {
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((each) => each.isIntersecting)) {
      charts.find((chart) => chart.box === entry.target).make();
      watch.unobserve(entry.target);
    }
  }, { rootMargin: "400px" });
  charts.forEach((chart) => watch.observe(chart.box));
}
