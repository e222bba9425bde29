// Live numbers and plots. Without it the pages are complete, but stand still.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const SPANS = [["60 s", 114, 174], ["60 min", 54, 114], ["24 h", 30, 54], ["30 d", 0, 30]];
  const UNITS = ["s", "min", "h", "d"];
  const PERIOD_MS = 1000;
  const WIDTH = 600, HEIGHT = 150, MARGIN = 4;

  // The supervisor of several processes shows the page of one of them.
  const worker = new URLSearchParams(location.search).get("worker");
  const ofWorker = worker === null ? "" : "&worker=" + encodeURIComponent(worker);

  const make = (name, attributes, ...children) => {
    const found = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
    found.append(...children);
    return found;
  };
  const element = (name, className, text) => {
    const found = document.createElement(name);
    if (className) found.className = className;
    if (text !== undefined) found.textContent = text;
    return found;
  };
  const shown = (number) => {
    if (!Number.isFinite(number)) return "-";
    if (Number.isInteger(number) && Math.abs(number) < 1e15) return number.toLocaleString("en");
    return String(Number(number.toPrecision(6)));
  };

  class Plot {
    constructor(place) {
      this.place = place;
      this.url = "/vars/" + encodeURIComponent(place.dataset.series) + "?series" + ofWorker;
      this.isSmall = place.classList.contains("spark");
      this.span = 0;
      this.isVisible = false;
      this.isBusy = false;
      this.series = [];
      if (!this.isSmall) this.addControls();
      watcher.observe(place);
      plots.set(place, this);
    }

    addControls() {
      const keys = element("div", "keys");
      this.buttons = SPANS.map(([label], place) => {
        const button = element("button", "plain", label);
        button.type = "button";
        button.addEventListener("click", () => { this.span = place; this.draw(); });
        keys.append(button);
        return button;
      });
      this.legend = element("span");
      this.output = element("output");
      keys.append(this.legend, this.output);
      this.canvas = this.place.querySelector("svg") || make("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img"});
      this.canvas.setAttribute("aria-label", this.place.dataset.series);
      this.canvas.addEventListener("pointermove", (event) => this.point(event));
      this.canvas.addEventListener("pointerleave", () => { this.output.textContent = this.latest(); });
      this.place.replaceChildren(keys, this.canvas);
    }

    async update() {
      if (!this.isVisible || this.isBusy) return;
      this.isBusy = true;
      try {
        const answer = await fetch(this.url, {headers: {Accept: "application/json"}});
        if (!answer.ok) { this.fail("no series is kept of this variable"); return; }
        const found = await answer.json();
        this.series = Array.isArray(found) ? found : [found];
        this.draw();
      } catch (error) {
        this.fail("the server does not answer");
      } finally {
        this.isBusy = false;
      }
    }

    fail(text) { if (this.output) this.output.textContent = text; }

    cut() {
      const isDistribution = this.series.some((each) => each.data.length < 174);
      for (const button of this.buttons || []) button.hidden = isDistribution;
      const [, from, to] = isDistribution ? [0, 0, 1e6] : SPANS[this.span];
      return this.series.map((each) => each.data.slice(from, to).map((pair) => pair[1]));
    }

    draw() {
      const lines = this.cut();
      const all = lines.flat();
      if (!all.length) return;
      this.least = Math.min(0, ...all);
      this.most = Math.max(...all, this.least + (Math.max(...all) > 0 ? 0 : 1));
      if (this.isSmall) { this.drawSmall(lines[0]); return; }
      this.lines = lines;
      const parts = [];
      for (const share of [0, 0.5, 1]) {
        const y = this.y(this.least + share * (this.most - this.least), HEIGHT);
        parts.push(make("line", {class: "axis", x1: 0, x2: WIDTH, y1: y, y2: y}));
      }
      if (lines.length === 1) parts.push(make("path", {class: "area", d: this.area(lines[0], WIDTH, HEIGHT)}));
      lines.forEach((values, place) => {
        parts.push(make("path", {class: `line l${place % 4}`, d: this.path(values, WIDTH, HEIGHT)}));
      });
      this.canvas.replaceChildren(...parts);
      this.buttons.forEach((button, place) => button.setAttribute("aria-pressed", String(place === this.span)));
      const names = lines.length > 1 ? this.series.map((each) => each.label) : [];
      this.legend.replaceChildren(...names.map((name, place) => element("span", `key l${place % 4}`, name)));
      if (!this.canvas.matches(":hover")) this.output.textContent = this.latest();
    }

    drawSmall(values) {
      const area = make("path", {class: "area", d: this.area(values, 112, 28)});
      const line = make("path", {class: "line", d: this.path(values, 112, 28)});
      const canvas = make("svg", {viewBox: "0 0 112 28", class: "spark", preserveAspectRatio: "none", "aria-hidden": "true"}, area, line);
      this.place.replaceChildren(canvas);
    }

    y(value, height) {
      const range = this.most - this.least || 1;
      return height - MARGIN / 2 - ((value - this.least) / range) * (height - MARGIN);
    }

    path(values, width, height) {
      const step = width / Math.max(values.length - 1, 1);
      return values.map((value, place) => `${place ? "L" : "M"}${(place * step).toFixed(1)} ${this.y(value, height).toFixed(1)}`).join("");
    }

    area(values, width, height) {
      return `${this.path(values, width, height)}L${width} ${height}L0 ${height}Z`;
    }

    latest() {
      const last = this.lines && this.lines[0] && this.lines.map((values) => shown(values[values.length - 1]));
      return last ? `${last.join("  ")}   max ${shown(this.most)}` : "";
    }

    point(event) {
      if (!this.lines || !this.lines[0].length) return;
      const box = this.canvas.getBoundingClientRect();
      const count = this.lines[0].length;
      const place = Math.round(((event.clientX - box.left) / box.width) * (count - 1));
      const at = Math.min(Math.max(place, 0), count - 1);
      const values = this.lines.map((line) => shown(line[at])).join("  ");
      this.output.textContent = `${values}   ${this.buttons[0].hidden ? "" : `${count - 1 - at} ${UNITS[this.span]} ago`}`;
    }
  }

  const plots = new Map();
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const plot = plots.get(entry.target);
      if (!plot) continue;
      const wasVisible = plot.isVisible;
      plot.isVisible = entry.isIntersecting;
      if (!wasVisible && plot.isVisible) plot.update();
    }
  });

  const toggle = (link) => {
    const row = link.closest("tr");
    const next = row.nextElementSibling;
    if (next && next.classList.contains("plotted")) {
      plots.delete(next.querySelector(".plot"));
      next.remove();
      row.classList.remove("open");
      return;
    }
    const place = element("div", "plot");
    place.dataset.series = link.textContent;
    const cell = element("td");
    cell.colSpan = row.cells.length;
    cell.append(place);
    const added = element("tr", "plotted");
    added.append(cell);
    row.after(added);
    row.classList.add("open");
    new Plot(place);
  };

  const startTable = () => {
    document.addEventListener("click", (event) => {
      const link = event.target.closest && event.target.closest("a.plots");
      if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      toggle(link);
    });
    const input = document.querySelector("input[data-filter]");
    if (!input) return;
    const rows = [...document.querySelectorAll(".names tbody tr")];
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      for (const row of rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
    });
  };

  let isReading = false;
  const updateNumbers = async () => {
    const where = document.querySelector("[data-live]");
    if (!where || isReading) return;
    isReading = true;
    try {
      const answer = await fetch(where.dataset.live, {headers: {Accept: "text/plain"}});
      if (!answer.ok) return;
      const values = new Map();
      for (const line of (await answer.text()).split("\n")) {
        const at = line.indexOf(" : ");
        if (at > 0) values.set(line.slice(0, at), line.slice(at + 3));
      }
      for (const cell of document.querySelectorAll("[data-var]")) {
        const value = values.get(cell.dataset.var);
        if (value !== undefined && cell.textContent !== value) cell.textContent = value;
      }
    } catch (error) {
      // The next second tries again.
    } finally {
      isReading = false;
    }
  };

  for (const place of document.querySelectorAll("[data-series]")) new Plot(place);
  startTable();
  setInterval(() => {
    if (document.visibilityState !== "visible") return;
    updateNumbers();
    for (const plot of plots.values()) plot.update();
  }, PERIOD_MS);
})();
